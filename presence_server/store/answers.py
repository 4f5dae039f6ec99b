"""What a team answers to a numbered call, and what that means for its lane."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from presence_server.core.roster import Mark
from presence_server.store.caller import Caller
from presence_server.store.calls import Call
from presence_server.store.hold import Hold
from presence_server.store.lane import Lane
from presence_server.store.lease import Lease
from presence_server.store.link import Moving, Refused, Unreached
from presence_server.store.operations import hold

_REFUSED: Final = "Expected Redis to carry this out, got a refusal; see the server's log"
_UNSURE: Final = (
    "Expected an answer of Redis, got none; whether this was carried out cannot be told: look, and try again"
)
# A team whose keys are broken is tried again after so long.
_BROKEN_S: Final = 1.0
# One whose slot is being moved to another node.
_MOVING_S: Final = 0.05

logger: Final = logging.getLogger(__name__)


class Answers:
    """Takes answers in.

    Args:
        caller: knows what a reply says.
        lease: the worker's.
        on_lost: is given a lane whose team Redis does not have any more; nothing is sent on it until it is released.
        on_refused: is told of a hold that may not stand, since its session was signed out.
        on_team: is told of a team that Redis refuses to write to, and when it does again.
    """

    def __init__(
        self,
        caller: Caller,
        lease: Lease,
        *,
        on_lost: Callable[[Lane], object],
        on_refused: Callable[[Hold], None],
        on_team: Callable[[str, bool], None],
    ) -> None:
        self._caller = caller
        self._lease = lease
        self._on_lost = on_lost
        self._on_refused = on_refused
        self._on_team = on_team

    def take(self, lane: Lane, call: Call, raw: Any, known: Mark) -> None:
        """A team has answered a call, or Redis in its place; `known` was the roster's mark when it was sent."""
        if isinstance(raw, Unreached):
            self._unreached(lane, call, raw)
            return
        if isinstance(raw, Refused):
            self._refused(lane, call, raw)
            return
        if lane.broken_until_s:
            lane.broken_since_s = lane.broken_until_s = 0.0
            self._on_team(lane.team, True)
        if raw[0] == b"ok":
            self._done(lane, call, raw, known)
        elif raw[0] == b"late":
            self._late(lane, call, is_known=raw[1] == 1)
        elif raw[0] == b"behind":
            lane.again()
            lane.stale = True
        else:
            lane.again()
            lane.held_up = True
            self._on_lost(lane)

    def _done(self, lane: Lane, call: Call, raw: Any, known: Mark) -> None:
        reply = self._caller.reply(lane.team, raw, known)
        if call.holder == self._lease.name:
            lane.last = call.number
        elif call.name == hold.NAME:
            # Who was told under a name that is dead is told under the new one.
            lane.again()
            return
        lane.answered()
        results = call.answer(reply)
        if call.name == hold.NAME:
            self._tell_holds(call, results)

    def _tell_holds(self, call: Call, results: list[tuple[Mark, str | None]]) -> None:
        for each, (mark, chosen) in zip(list(call.entries), results, strict=True):
            assert isinstance(each, Hold)
            if each.gone:
                continue
            if not chosen or mark.version < each.refused_at:
                self._on_refused(each)
            else:
                # A lane is answered in order, and another epoch may have begun at a lower version.
                each.version = mark.version

    def _late(self, lane: Lane, call: Call, *, is_known: bool) -> None:
        """Not done now. Whether it was done before, an old number would have told; if that is gone, nobody can."""
        if call.holder == self._lease.name:
            self._lease.doubted()
        if call.unsure and call.once and not is_known:
            lane.answered().fail(_UNSURE)
        else:
            lane.again()

    def _unreached(self, lane: Lane, call: Call, exc: Unreached) -> None:
        """Not answered: sent again as it was, soon if the slot is merely on its way to another node."""
        now_s = self._caller.clock()
        moving = isinstance(exc, Moving)
        call.unsure = call.unsure or not moving
        lane.hold_back(now_s, _MOVING_S if moving else _BROKEN_S)
        if not moving or now_s - lane.broken_since_s >= _BROKEN_S:
            self._on_team(lane.team, False)

    def _refused(self, lane: Lane, call: Call, exc: Refused) -> None:
        now_s = self._caller.clock()
        if not lane.broken_since_s:
            logger.error("Redis refused %s of team %s: %s", call.name, lane.team, exc)
            self._on_team(lane.team, False)
        lane.hold_back(now_s, _BROKEN_S)
        if call.name == hold.NAME or call.restating:
            # What a worker holds must be told in the end; but nobody is kept waiting for it.
            if not call.restating:
                call.fail(_REFUSED)
            lane.again()
            lane.refuse_choices(_REFUSED)
        else:
            lane.answered().fail(_REFUSED)
