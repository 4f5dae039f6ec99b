"""Going offline: every worker sweeps for deadlines that have come, and of several one finds them (rule 10)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from presence_server.live.counters import Counters
from presence_server.store.direct import CLAIMED_AT_ONCE
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.store import Store
from presence_server.store.types import Claim

INTERVAL_S: Final = 0.5


logger: Final = logging.getLogger(__name__)


class Sweeper:
    """Claims due teams and sweeps them.

    Args:
        store: where deadlines are.
        lease_ms: a team with deadlines is looked at at least that often.
        counters: where the lag is counted.
        on_claim: sees every claim: it tells whether Redis has still the same data.
    """

    def __init__(self, store: Store, lease_ms: int, counters: Counters, on_claim: Callable[[Claim], None]) -> None:
        self._store = store
        self._lease_ms = lease_ms
        self._counters = counters
        self._on_claim = on_claim

    async def run(self) -> None:
        """Sweep until cancelled; while Redis is out of reach there is nothing to sweep."""
        while True:
            claimed = 0
            if self._store.open:
                try:
                    claimed = await self.sweep()
                except OutOfReach as exc:
                    self._store.down(str(exc))
            if claimed < CLAIMED_AT_ONCE:
                # Jittered, so that workers do not fall into step.
                await asyncio.sleep(INTERVAL_S * random.uniform(0.8, 1.0))

    async def sweep(self) -> int:
        """Sweep the teams that are due now; returns how many were claimed."""
        claim = await self._store.claim()
        self._on_claim(claim)
        for team in claim.teams:
            try:
                await self._sweep_team(team, claim.claimed_until)
            except Refused as exc:
                # One team's broken data must not keep the others from being swept.
                logger.error("Redis refused the sweep of team %s: %s", team, exc)
        return len(claim.teams)

    async def _sweep_team(self, team: str, claimed_until: int) -> None:
        swept = await self._store.sweep(team)
        seen = swept.seen
        if swept.changed:
            self._counters.sweep_lag.observe(swept.lag_ms / 1000)
        while swept.more:
            swept = await self._store.sweep(team)
        latest_ms = swept.now_ms + self._lease_ms
        due_ms = None if swept.deadline_ms is None else min(swept.deadline_ms, latest_ms)
        if due_ms is None and seen:
            # Looked at once more before it is forgotten: somebody may have been about to write a deadline.
            due_ms = latest_ms
        await self._store.reschedule(team, claimed_until, due_ms)
