"""Looking at teams whose deadline may have come: by plain reads first, by the script only where something is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from presence_server.core.roster import NO_MARK
from presence_server.store.caller import Caller
from presence_server.store.link import Command, Refused
from presence_server.store.operations import doubt, sweep, swept
from presence_server.store.types import Claim, Due, Standing, Swept, standing_of


class Look(NamedTuple):
    """What plain reads tell of a team.

    Attributes:
        due: what was claimed.
        is_due: whether the script has anything to do.
        next_ms: the team's next deadline by Redis's clock; 0 for none.
        standing: who is there.
        refused: what Redis would not read, if so.
    """

    due: Due
    is_due: bool
    next_ms: int
    standing: Standing | None
    refused: Refused | None


class Sweeps:
    """Sweeps of teams.

    Args:
        caller: makes commands.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def look(self, claim: Claim) -> list[Look]:
        """Look at all claimed teams by plain reads, in one pipeline.

        Raises:
            OutOfReach: Redis is.
        """
        keys = self._caller.keys
        commands: list[Command] = []
        for due in claim.due:
            commands += (
                ("GET", keys.mark(due.team)),
                ("ZRANGE", keys.active(due.team), 0, 0, "WITHSCORES"),
                ("ZRANGE", keys.ends(due.team), 0, 0, "WITHSCORES"),
            )
        replies = await self._caller.link.execute_each(commands) if commands else []
        return [self._judge(claim, due, replies[3 * i : 3 * i + 3]) for i, due in enumerate(claim.due)]

    def _judge(self, claim: Claim, due: Due, replies: Sequence[Any]) -> Look:
        refused = next((reply for reply in replies if isinstance(reply, Refused)), None)
        if refused is not None:
            return Look(due, False, 0, None, refused)
        raw, active, ends = replies
        standing = standing_of(raw)
        stored, look_ms = standing.mark != NO_MARK, standing.look_ms
        idle_ms = standing.idle_timeout_ms or self._caller.settings.idle_timeout_ms
        deadlines = [int(float(active[1])) + idle_ms] if active else []
        deadlines += [int(float(ends[1]))] if ends else []
        next_ms = min(deadlines, default=0)
        is_due = bool(due.burials) or claim.set_back or 0 < next_ms <= claim.now_ms
        if not is_due and look_ms > claim.now_ms:
            # The scripts rely on a look by then, and tell the index of nothing later.
            next_ms = min(next_ms or look_ms, look_ms)
        return Look(due, is_due and stored, next_ms, standing, None)

    async def sweep(self, due: Due, *, set_back: bool) -> Swept:
        """Bury whom the index says, and bring the users whose deadline has come into line with the rule, some at once.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        order = sweep.Sweep(self._caller.word(), set_back, due.burials, self._caller.gaps)
        return sweep.decode(await self._caller.call(sweep.NAME, due.team, sweep.encode(order)))

    async def finish(self, claimed_until: int, teams: Sequence[swept.Next], doubts: Sequence[doubt.Doubt]) -> None:
        """Tell the index when each team must be looked at next, and who was found where.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        commands = [self._caller.index_command(swept.NAME, swept.encode(claimed_until, teams))]
        if doubts:
            commands.append(self._caller.index_command(doubt.NAME, doubt.encode(doubts)))
        await self._caller.link.execute(commands)
