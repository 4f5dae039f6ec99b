"""From Redis out of reach to every view right again: the one way, taken at the start and after every break.

Subscribe; see whether Redis has kept its data, and write the rosters back if not; restate the leases of all open
connections; read what changed; only then let waiting requests through and call the feed live.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Final

from presence_server.live.holds import Hold, Holds
from presence_server.live.team import Team
from presence_server.store.feed import Feed
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.queue import BULK
from presence_server.store.store import Store
from presence_server.store.types import Claim, Lost

# Workers that have lost their Redis try again at least that often, so all are back within it and a little.
RETRY_S: Final = 0.4
# How long after Redis came up without data nobody is shown a team: whoever has a roster writes it back in that time.
SETTLE_MS: Final = 1_000
# A restoring worker that takes longer than this is waited for no more.
PATIENCE_S: Final = 5.0
# A Redis that has been up for longer was not replaced by an empty one just now; the prefix is merely new.
YOUNG_S: Final = 5

logger: Final = logging.getLogger(__name__)


class Recovery:
    """Brings a worker back to Redis.

    Args:
        store, feed: what is brought back.
        teams: gives the teams of this worker.
        holds: the leases to restate.
        on_refused: is told of a hold that may not come back, because its session was signed out.
        on_live: is told whether statuses are fresh.
    """

    def __init__(
        self,
        store: Store,
        feed: Feed,
        holds: Holds,
        teams: Callable[[], Iterable[Team]],
        on_refused: Callable[[Hold], None],
        on_live: Callable[[bool], None],
    ) -> None:
        self._store = store
        self._feed = feed
        self._holds = holds
        self._teams = teams
        self._on_refused = on_refused
        self._on_live = on_live
        self._born = ""
        self._breaks = 0
        self._needed = asyncio.Event()
        self._needed.set()

    def needed(self, why: str) -> None:
        """Redis went out of reach, or the subscription broke."""
        self._breaks += 1
        if not self._needed.is_set():
            logger.warning("Redis out of reach: %s", why)
            self._needed.set()
            self._store.down(why)
            self._on_live(False)

    def check(self, claim: Claim) -> None:
        """See by a claim whether Redis has still the same data."""
        if self._born not in ("", claim.born):
            self.needed("Redis came back without its data")

    async def run(self) -> None:
        """Recover whenever needed, until cancelled."""
        while True:
            await self._needed.wait()
            complained = lost = False
            while True:
                breaks = self._breaks
                try:
                    await self._recover(lost=lost)
                    if self._breaks == breaks:
                        break
                except Lost as exc:
                    # The data as a whole is what it was, but a team's is gone: evicted, deleted, or on a lost shard.
                    logger.warning("%s", exc)
                    lost = True
                except (OutOfReach, Refused) as exc:
                    if not complained:
                        logger.warning("Redis cannot be reached, trying again: %s", exc)
                        complained = True
                    await asyncio.sleep(random.uniform(RETRY_S / 4, RETRY_S))
            self._needed.clear()
            self._store.resume()
            self._on_live(True)
            logger.info("Redis within reach, statuses are fresh")

    async def _recover(self, *, lost: bool) -> None:
        for team in self._teams():
            team.replica.pause()
        await self._store.reconnect()
        await self._feed.connect()
        claim = await self._store.claim(teams=0, restoring=self._born != "")
        if lost or self._born not in ("", claim.born):
            lost = True
            logger.warning("Redis has lost data, writing the rosters back")
            for team in self._teams():
                await team.replica.restore()
        await self._rejoin()
        if lost or self._born != claim.born:
            await self._settle(claim, lost=lost)
        else:
            await self._store.claim(teams=0)
        await asyncio.gather(*[team.replica.read() for team in self._teams()])
        self._born = claim.born

    async def _rejoin(self) -> None:
        by_team: dict[str, list[Hold]] = {}
        for hold in self._holds:
            if hold.version and not hold.ended:
                by_team.setdefault(hold.team, []).append(hold)
        for team, holds in by_team.items():
            for at in range(0, len(holds), BULK):
                await self._rejoin_some(team, holds[at : at + BULK])

    async def _rejoin_some(self, team: str, holds: list[Hold]) -> None:
        entries = [(hold.user, hold.session, hold.connections, hold.active_s, int(hold.issued_at_s)) for hold in holds]
        told = [hold.active_s for hold in holds]
        for hold, told_s, version in zip(holds, told, await self._store.rejoin(team, entries), strict=True):
            if version is None:
                self._on_refused(hold)
            else:
                hold.version, hold.told_s = version, told_s

    async def _settle(self, claim: Claim, *, lost: bool) -> None:
        """Wait until the other workers have had the time to write back what they know."""
        young = lost or await self._store.uptime_s() < YOUNG_S
        until_ms = claim.born_ms + SETTLE_MS if young else 0
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            claim = await self._store.claim(teams=0)
            if (claim.now_ms >= until_ms and not claim.restoring) or time.monotonic() > give_up_s:
                return
            await asyncio.sleep(0.05)
