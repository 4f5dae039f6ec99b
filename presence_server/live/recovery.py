"""From Redis out of reach to every view right again: the one way, taken at the start and after every break.

Beat; subscribe; see whether Redis has kept its data, and write the rosters back if not; look at every team, and read
those that are not as known; only then let waiting requests through and call the feed live.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from presence_server.live.audit import Audit
from presence_server.live.counters import ResyncCause
from presence_server.live.heart import Heart
from presence_server.live.team import Team
from presence_server.live.teams import Teams
from presence_server.store.backend import Subscription
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.store import Store
from presence_server.store.types import Claim

# Workers that have lost their Redis try again at least that often, so all are back within it and a little.
RETRY_S: Final = 0.4
# How long after Redis came up without data nobody is shown a team: whoever has a roster writes it back in that time.
SETTLE_MS: Final = 1_000
# A restoring worker that takes longer than this is waited for no more.
PATIENCE_S: Final = 5.0
# A Redis that has been up for longer was not replaced by an empty one just now; the prefix is merely new.
YOUNG_S: Final = 5
# Teams written back side by side.
_SIDE_BY_SIDE: Final = 16


class Recovery:
    """Brings a worker back to Redis.

    Args:
        store, feed: what is brought back.
        heart: beats.
        teams: whose rosters are brought up to date.
        audit: looks at them.
        on_live: is told whether statuses are fresh, and why not.
        say: logs, with a level, what befalls many partitions alike.
        clock: a monotonic clock, seconds.
    """

    def __init__(
        self,
        store: Store,
        feed: Subscription,
        heart: Heart,
        teams: Teams,
        audit: Audit,
        on_live: Callable[[bool, str], None],
        say: Callable[[int, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._feed = feed
        self._heart = heart
        self._teams = teams
        self._audit = audit
        self._on_live = on_live
        self._say = say
        self._clock = clock
        self._breaks = 0
        # The run id of the Redis that everything was read from last; empty before.
        self._server = ""
        self._needed = asyncio.Event()
        self._needed.set()

    def needed(self, why: str) -> None:
        """Redis went out of reach, the subscription broke, or the data is another."""
        self._breaks += 1
        if not self._needed.is_set():
            self._needed.set()
            self._store.down(why)
            self._on_live(False, why)

    async def run(self) -> None:
        """Recover whenever needed, until cancelled."""
        while True:
            await self._needed.wait()
            complained = False
            while True:
                breaks, pause_s = self._breaks, 0.0
                try:
                    await self._recover()
                    if self._breaks == breaks:
                        break
                except (OutOfReach, Refused) as exc:
                    if not complained:
                        self._on_live(False, str(exc))
                        complained = True
                    pause_s = random.uniform(RETRY_S / 4, RETRY_S)
                # Writing back has opened the lanes, which must not stay so while it is tried again.
                self._store.down("not all of the way back was gone")
                await asyncio.sleep(pause_s)
            self._needed.clear()
            self._store.resume()
            self._on_live(True, "")

    async def _recover(self) -> None:
        for team in self._teams.followed():
            team.replica.pause()
        await self._store.link.reset()
        claim = await self._heart.next()
        server = await self._store.reads.server()
        if "" not in (self._server, server.run_id) and self._server != server.run_id:
            # What the one before it had last, and has told, may be lost with it.
            for team in self._teams:
                team.replica.doubt()
        await self._feed.connect()
        lost = self._heart.born not in ("", claim.born)
        if lost:
            claim = await self._write_back()
        if lost or not self._heart.born:
            await self._settle(claim, young=lost or server.uptime_s < YOUNG_S)
        followed = self._teams.followed()
        await self._audit.look(followed)
        current = [team for team in followed if not lost and self._audit.is_current(team)]
        for team in current:
            team.replica.go_on()
        others = [team for team in followed if team not in set(current)]
        await asyncio.gather(*[self._read(team) for team in others])
        self._heart.born, self._server = claim.born, server.run_id

    async def _read(self, team: Team) -> None:
        try:
            await team.replica.read()
        except Refused:
            # Its own trouble, which keeps no other from coming back: tried again until it passes.
            team.replica.resync(ResyncCause.REFUSED)

    async def _write_back(self) -> Claim:
        self._say(logging.WARNING, "Redis has lost data, writing the rosters back")
        self._heart.restoring = True
        try:
            await self._heart.next()
            await self._store.record_anew()
            # Whoever is written back is forgiven for a lease: his hold must be told well within that, however many
            # there are. So lanes go on at once, each when its team is there again.
            self._store.resume()
            await asyncio.gather(*[self._write_back_some(part) for part in _parts(self._teams.followed())])
        finally:
            self._heart.restoring = False
        return await self._heart.next()

    async def _write_back_some(self, teams: Sequence[Team]) -> None:
        for team in teams:
            with contextlib.suppress(Refused):
                await team.replica.restore()
            self._store.retell(team.name)

    async def _settle(self, claim: Claim, *, young: bool) -> None:
        """Wait until the other workers have had the time to write back what they know."""
        until_ms = claim.born_ms + SETTLE_MS if young else 0
        give_up_s = self._clock() + PATIENCE_S
        while (claim.now_ms < until_ms or claim.restoring) and self._clock() < give_up_s:
            claim = await self._heart.next()


def _parts(teams: Sequence[Team]) -> list[Sequence[Team]]:
    return [teams[at::_SIDE_BY_SIDE] for at in range(min(_SIDE_BY_SIDE, len(teams)))]
