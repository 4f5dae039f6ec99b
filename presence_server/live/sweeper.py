"""Going offline: every worker sweeps for deadlines that have come, and of several one finds them (rule 10)."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from presence_server.live.counters import Counters
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.operations.claim import AT_ONCE
from presence_server.store.operations.swept import Next
from presence_server.store.store import Store
from presence_server.store.sweeps import Look
from presence_server.store.types import Claim, Due

# A team whose keys are broken is swept again after so long.
BROKEN_MS: Final = 2_000
# Claims that may wait while one is worked on.
_WAITING: Final = 2

logger: Final = logging.getLogger(__name__)


class Sweeper:
    """Sweeps claimed teams, side by side; how long that takes is nobody else's matter.

    Args:
        store: where deadlines are.
        counters: where the lag is counted.
    """

    def __init__(self, store: Store, counters: Counters) -> None:
        self._store = store
        self._counters = counters
        self._claims: asyncio.Queue[Claim] = asyncio.Queue()
        self._broken: set[str] = set()

    def room(self) -> int:
        """How many teams may be claimed now."""
        return AT_ONCE if self._claims.qsize() < _WAITING else 0

    def take(self, claim: Claim) -> None:
        """Teams were claimed."""
        self._claims.put_nowait(claim)

    async def run(self) -> None:
        """Sweep until cancelled. What is not swept because Redis went away is claimed again by somebody."""
        while True:
            claim = await self._claims.get()
            if not self._store.open:
                # It does not know what others are telling: the teams are claimed again, by whoever does.
                continue
            try:
                await self.sweep(claim)
            except OutOfReach as exc:
                self._store.down(str(exc))
            except Refused as exc:
                logger.error("Redis refused what follows a sweep: %s", exc)

    async def sweep(self, claim: Claim) -> None:
        """Look at the teams of a claim, and sweep where something is due.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not take note of it.
        """
        looks = await self._store.sweeps.look(claim)
        nexts = await asyncio.gather(*[self._settle(look, claim) for look in looks])
        await self._store.sweeps.finish(claim.claimed_until, nexts, self._store.vigil.take_doubts())

    async def _settle(self, look: Look, claim: Claim) -> Next:
        team = look.due.team
        try:
            if look.refused is not None:
                raise look.refused
            if look.standing is not None:
                ordered = {burial.worker for burial in look.due.burials}
                self._store.vigil.look_closely(team, look.standing, but=ordered)
            found = await self._sweep(look.due, claim) if look.is_due else Next(team, look.due.stamp, look.next_ms)
        except Refused as exc:
            # One team's broken data must not keep the others from being swept.
            if team not in self._broken:
                logger.error("Redis refused the sweep of team %s: %s", team, exc)
                self._broken.add(team)
            return Next(team, 0, claim.now_ms + BROKEN_MS)
        self._broken.discard(team)
        return found

    async def _sweep(self, due: Due, claim: Claim) -> Next:
        while True:
            swept = await self._store.sweeps.sweep(due, set_back=claim.set_back)
            if swept.changed:
                self._counters.sweep_lag.observe(swept.lag_ms / 1000)
            self._counters.deadlines_deferred += swept.deferred
            if not swept.more:
                break
        if not swept.early:
            return Next(due.team, due.stamp, swept.next_ms)
        ends = min(burial.end_ms for burial in due.burials)
        return Next(due.team, 0, min(ends, swept.next_ms) if swept.next_ms else ends)
