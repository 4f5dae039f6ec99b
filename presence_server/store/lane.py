"""A team's lane: what is to be written to it, in order, one call at a time.

What was sent and not answered stands at the head until it is answered, under the number it had. So everything is done
exactly once and in order, or the team says what was lost.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from presence_server.store.calls import BULK, Call, ChoiceCall, Entry, HoldCall, Waiting
from presence_server.store.hold import Hold

PATIENCE_S: Final = 10.0
_TOO_LATE: Final = f"Expected Redis within reach, got no answer in {PATIENCE_S:.0f} s; try again"


class Lane:
    """What waits to be written to one team.

    Attributes:
        team: which.
        last: the number of the last write that the team has acknowledged to this worker's present name; 0 for none.
        unanswered: the call that was sent last, until it is answered.
        first: calls that tell the team everything anew; while `restating`, only these are sent.
        restating: whether the team is being told everything anew.
        stale: whether it must be.
        held_up: nothing is sent meanwhile: the worker is leaving the team, or writing it back.
        broken_since_s: since when Redis refuses this team, or its slot is out of reach; 0 when neither is so.
        broken_until_s: until when nothing is tried for that; 0 likewise.
    """

    __slots__ = (
        "_calls",
        "broken_since_s",
        "broken_until_s",
        "first",
        "held_up",
        "last",
        "restating",
        "stale",
        "team",
        "unanswered",
    )

    def __init__(self, team: str) -> None:
        self.team = team
        self.last = 0
        self.unanswered: Call | None = None
        self.first: list[Call] = []
        self.restating = False
        self.stale = False
        self.held_up = False
        self.broken_since_s = 0.0
        self.broken_until_s = 0.0
        # Lists: an empty deque takes 600 bytes, and there are as many lanes as teams.
        self._calls: list[Call] = []

    def __len__(self) -> int:
        """How many operations wait."""
        return sum(len(call.entries) for call in self._calls)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.unanswered or self.first or self._calls or self.restating or self.stale)

    # --- what is asked for ------------------------------------------------------------------------------------------

    def tell(self, hold: Hold, waiting: Waiting | None) -> None:
        """Bring a hold into line. Only the newest call may grow: one of another kind must not be overtaken."""
        newest = self._calls[-1] if self._calls else None
        if not isinstance(newest, HoldCall) or (len(newest.entries) >= BULK and hold not in newest.entries):
            newest = HoldCall()
            self._calls.append(newest)
        self._enter(newest, hold, hold, waiting)

    def choose(self, user: str, status: str, at_s: float, by: str, waiting: Waiting) -> None:
        """Set a chosen status; a newer choice of the same user by the same person counts for this one."""
        key, content = (user, by), (user, status, at_s, by)
        earlier: list[Waiting] = []
        for call in self._calls:
            if isinstance(call, ChoiceCall) and key in call.entries:
                earlier += call.entries.pop(key).waiting
        newest = self._calls[-1] if self._calls else None
        if not isinstance(newest, ChoiceCall) or len(newest.entries) >= BULK:
            newest = ChoiceCall()
            self._calls.append(newest)
        self._enter(newest, key, content, waiting)
        newest.entries[key].waiting[:0] = earlier

    def add(self, call: Call) -> None:
        """Carry out a call that shares with none."""
        self._calls.append(call)

    def _enter(self, call: Call, key: Hashable, content: Any, waiting: Waiting | None) -> None:
        entry = call.entries.get(key)
        if entry is None:
            entry = call.entries[key] = Entry(content)
        if waiting is not None:
            entry.waiting.append(waiting)

    # --- what is sent -----------------------------------------------------------------------------------------------

    def head(self, now_s: float) -> Call | None:
        """The call to send now, which then is the unanswered one; None while there is none."""
        if self.held_up or self.broken_until_s > now_s:
            return None
        if self.unanswered is not None:
            return self.unanswered
        if self.restating:
            self.unanswered = self.first.pop(0) if self.first else None
            return self.unanswered
        if self.stale:
            return None
        while self._calls:
            call = self._calls.pop(0)
            if call.expire(now_s, _TOO_LATE):
                self.unanswered = call
                return call
        return None

    def answered(self) -> Call:
        """The unanswered call has been answered, one way or the other."""
        call, self.unanswered = self.unanswered, None
        assert call is not None
        return call

    def again(self) -> None:
        """The unanswered call was not carried out: it is made anew, before all others of its kind."""
        call = self.answered()
        call.forget_number()
        (self.first if call.restating else self._calls).insert(0, call)

    def hold_back(self, now_s: float, for_s: float) -> None:
        """Nothing is tried for so long: Redis refuses this team, or its slot is out of reach."""
        self.broken_since_s = self.broken_since_s or now_s
        self.broken_until_s = now_s + for_s

    def refuse_choices(self, reason: str) -> None:
        """Redis refuses what comes before them: nobody is kept waiting for his choice until that passes."""
        for call in self._calls:
            if isinstance(call, ChoiceCall):
                call.fail(reason)
        self._calls = [call for call in self._calls if not isinstance(call, ChoiceCall)]

    def expire(self, now_s: float) -> None:
        """Answer what has waited too long with `errors.Unavailable`, and drop it."""
        if self.unanswered is not None:
            self.unanswered.expire(now_s, _TOO_LATE)
        if self._calls:
            self._calls = [call for call in self._calls if call.expire(now_s, _TOO_LATE)]
