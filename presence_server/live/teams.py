"""The teams that this worker follows: opened when somebody needs one, and left a while after nobody does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from presence_server.core.roster import NO_MARK, Mark
from presence_server.core.status import OFFLINE
from presence_server.live.counters import ResyncCause
from presence_server.live.replica import BROKEN_S
from presence_server.live.team import Spawning, Surroundings, Team
from presence_server.store.backend import Subscription
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.types import Reply

# How long a team that nobody here is in any more is kept: reloads and reconnects come back to it.
LINGER_S: Final = 10.0
PART_AT_ONCE: Final = 100

logger: Final = logging.getLogger(__name__)


class Teams:
    """The registry of teams.

    Args:
        feed: where they are followed.
        spawn: starts a task.
        clock: a monotonic clock, seconds.
    """

    def __init__(self, feed: Subscription, spawn: Spawning, clock: Callable[[], float]) -> None:
        self._feed = feed
        self._spawn = spawn
        self._clock = clock
        self._around: Surroundings
        self._teams: dict[str, Team] = {}
        self._empty_since: dict[str, float] = {}
        self._live = asyncio.Event()

    def settle_in(self, around: Surroundings) -> None:
        """What all teams share is there now; it knows teams by this registry, and so comes after it."""
        self._around = around

    def __iter__(self) -> Any:
        return iter(list(self._teams.values()))

    def get(self, name: str) -> Team | None:
        """A team, if it is here."""
        return self._teams.get(name)

    def followed(self) -> list[Team]:
        """The teams whose channel has been subscribed to."""
        return [team for team in self._teams.values() if team.followed]

    # --- what is known of them --------------------------------------------------------------------------------------

    def known(self, name: str) -> Mark:
        """The mark of a team's roster; `NO_MARK` for none."""
        team = self._teams.get(name)
        return NO_MARK if team is None else team.mark

    def status_of(self, name: str, user: str) -> str:
        """What a user is shown as."""
        team = self._teams.get(name)
        return OFFLINE if team is None else team.status_of(user)

    def idle_timeout_s(self, name: str) -> float:
        """A team's idle timeout."""
        team = self._teams.get(name)
        timeout_ms = 0 if team is None else team.replica.idle_timeout_ms
        return (timeout_ms or self._around.settings.idle_timeout_ms) / 1000

    # --- what comes back from Redis ---------------------------------------------------------------------------------

    def observe(self, name: str, reply: Reply, known: Mark) -> None:
        """A reply has come, to a call that was sent when `known` was known."""
        team = self._teams.get(name)
        if team is not None:
            team.replica.observe(reply.mark, known)

    def hear(self, name: str, raw: bytes) -> None:
        """A message of a team's channel has come."""
        team = self._teams.get(name)
        if team is not None:
            team.replica.hear(raw)

    def set_live(self, live: bool) -> None:
        """Whether Redis is within reach and everything up to date."""
        if live:
            self._live.set()
        else:
            self._live.clear()
        if not self._around.alone:
            for team in self:
                team.set_out_of_reach(not live)

    async def write_back(self, name: str) -> None:
        """Redis has lost a team: write its roster back.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        team = self._teams.get(name)
        if team is not None:
            await team.replica.restore()
            team.replica.resync(ResyncCause.LOST)

    # --- coming and going -------------------------------------------------------------------------------------------

    def use(self, name: str) -> Team:
        """The team, opened if need be; the caller takes one off `pending` when done."""
        team = self._teams.get(name)
        if team is None:
            team = self._teams[name] = Team(name, self._around, self._spawn, lambda: self.lost(name))
            team.set_out_of_reach(not (self._around.alone or self._live.is_set()))
            self._spawn(self._open(team))
        team.pending += 1
        return team

    async def _open(self, team: Team) -> None:
        failed = 0
        while self._teams.get(team.name) is team:
            await self._live.wait()
            try:
                await self._feed.subscribe(team.name)
                # From here on a recovery reads it too.
                team.followed = True
                if failed > 1:
                    team.set_refused(False)
                await team.replica.read_patiently()
                return
            except OutOfReach as exc:
                self._around.store.down(str(exc))
                await asyncio.sleep(0)
            except Refused:
                # Its own trouble, tried again until it passes; a slot that has just moved is no trouble yet.
                failed += 1
                if failed > 1:
                    team.set_refused(True)
                await asyncio.sleep(BROKEN_S if failed > 1 else BROKEN_S / 10)

    def lost(self, name: str) -> None:
        """A team's channel, alone of the others, is not heard any more: follow it anew, and read what was missed."""
        team = self._teams.get(name)
        if team is not None and team.followed:
            team.followed = False
            team.replica.pause()
            # Another node may have it now, which may never have had the last of it.
            team.replica.doubt()
            self._spawn(self._open(team))

    async def close_empty(self) -> None:
        """Leave the teams that nobody has needed for a while.

        Raises:
            OutOfReach: Redis is.
        """
        now_s = self._clock()
        lanes = self._around.store.teams()
        for name in [*self._empty_since]:
            if (team := self._teams.get(name)) is not None and not team.empty:
                del self._empty_since[name]
        empty = {team.name for team in self._teams.values() if team.empty}
        due = [
            name
            for name in empty | (lanes - self._teams.keys())
            if now_s - self._empty_since.setdefault(name, now_s) >= LINGER_S
        ]
        for at in range(0, len(due), PART_AT_ONCE):
            await self._leave(due[at : at + PART_AT_ONCE])

    async def _leave(self, names: list[str]) -> None:
        for name in await self._around.store.leave(names):
            team = self._teams.get(name)
            if team is None:
                self._empty_since.pop(name, None)
            elif team.empty:
                del self._teams[name]
                self._empty_since.pop(name, None)
                team.close()
                await self._feed.unsubscribe(name)
