"""Looking whether Redis still has what this worker knows: a plain read of each team's mark, every third of a lease.

It shows what no error tells: a last message that was lost, writes that a failover took, and workers in a team that
nobody vouches for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from presence_server.core.roster import NO_MARK, Mark
from presence_server.live.counters import ResyncCause
from presence_server.live.reader import forked
from presence_server.live.team import Team
from presence_server.live.teams import Teams
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.store import Store
from presence_server.store.types import Standing, standing_of

# Teams looked at in one turn of the loop.
_SLICE: Final = 200

logger: Final = logging.getLogger(__name__)


class Audit:
    """Looks at all teams that this worker follows.

    Args:
        store: where they are read.
        teams: which they are.
        interval_s: how often: a third of a lease.
    """

    def __init__(self, store: Store, teams: Teams, interval_s: float) -> None:
        self._store = store
        self._teams = teams
        self._interval_s = interval_s
        self._soon = asyncio.Event()
        self._alive: frozenset[str] = frozenset()

    def soon(self) -> None:
        """Look now rather than at the next third."""
        self._soon.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()
            if self._store.open:
                try:
                    await self.look(self._teams.followed())
                except OutOfReach as exc:
                    self._store.down(str(exc))
                except Refused as exc:
                    logger.error("Redis refused to let teams be looked at: %s", exc)

    async def look(self, teams: Iterable[Team]) -> None:
        """Compare these teams with Redis, and see to what is wrong with each.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        everybody = list(teams)
        for at in range(0, len(everybody), _SLICE):
            some = everybody[at : at + _SLICE]
            known = [team.mark for team in some]
            acknowledged = [(self._store.lease.name, self._store.acknowledged(team.name)) for team in some]
            found = await self._store.reads.marks([team.name for team in some])
            for team, mark, (name, number), raw in zip(some, known, acknowledged, found, strict=True):
                if isinstance(raw, Refused):
                    # Its own trouble, which whoever writes to it or reads it is told of.
                    team.looked_at = (None, NO_MARK, 0)
                    continue
                # Most teams are as they were, and so is everybody who was alive.
                look = (raw, mark, number)
                if look != team.looked_at or self._alive != self._store.vigil.alive or not team.replica.live:
                    team.looked_at = look
                    self._look_at(team, standing_of(raw), mark, name, number)
        self._alive = self._store.vigil.alive

    def is_current(self, team: Team) -> bool:
        """Whether a team's roster is exactly what the last look found."""
        return team.mark != NO_MARK and standing_of(team.looked_at[0]).mark == team.mark

    def _look_at(self, team: Team, standing: Standing, known: Mark, name: str, number: int) -> None:
        if team.replica.live:
            self._compare(team, standing, known)
        self._store.vigil.look_at(team.name, standing)
        fence = standing.fences.get(name)
        if name == self._store.lease.name and number and (fence is None or fence.last < number):
            logger.warning("team %s: Redis has lost what it was told, telling it anew", team.name)
            self._store.retell(team.name)

    def _compare(self, team: Team, standing: Standing, known: Mark) -> None:
        mark = standing.mark
        if known == mark or known == NO_MARK == mark:
            return
        lost = mark == NO_MARK or (mark.epoch == known.epoch and forked(mark, known)) or mark.epoch != known.epoch
        if lost and team.mark == known:
            logger.warning("team %s: Redis stands elsewhere than was known, reading it again", team.name)
            team.replica.resync(ResyncCause.LOST)
        else:
            team.replica.observe(mark, known)
