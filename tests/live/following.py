"""A worker without sockets or loops of its own: real teams, members and inputs over a real store and feed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from presence_server.core.roster import Mark
from presence_server.live.audit import Audit
from presence_server.live.connection import Connection, NullSocket
from presence_server.live.inputs import Inputs
from presence_server.live.members import Members
from presence_server.live.pulse import Pulse
from presence_server.live.spawn import Spawn
from presence_server.live.team import Surroundings, Team
from presence_server.live.teams import Teams
from presence_server.settings import Settings
from presence_server.store.connect import open_client
from presence_server.store.feed import Feed
from presence_server.store.hold import Hold
from presence_server.store.types import Reply
from tests.store.support import TEAM, Clock, Party, becomes_true


class Line(NullSocket):
    """A socket that keeps what it is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.aborted = False

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)

    def ping(self) -> None:
        raise AssertionError("Expected nobody to be pinged")

    def close(self, code: int, reason: str = "") -> None:
        self.closed = (code, reason)

    def abort(self) -> None:
        self.aborted = True


class Following(Party):
    """A party that follows teams.

    Attributes:
        failures: what parts ended with.
        breaks: why the subscription broke.
    """

    def __init__(self, url: str, settings: Settings, name: str, clock: Clock) -> None:
        super().__init__(url, settings, name, clock)
        self.failures: list[BaseException] = []
        self.breaks: list[str] = []
        self.spawn = Spawn(self.failures.append)
        self._client = open_client(url)
        self.feed = Feed(
            self._client,
            name,
            self.store.keys,
            on_update=lambda team, raw: self.teams.hear(team, raw),
            on_control=lambda message: None,
            on_down=self.breaks.append,
        )
        self.pulse = Pulse(20.0, 20.0, lambda *end: None, self.now_s)
        self.members = Members(self.store, self.pulse, self.counters, 3, self.now_s)
        self.teams = Teams(self.feed, self.spawn.part, self.now_s)
        self.inputs = Inputs(self.store, self.members, self.teams, self.now_s)
        self.teams.settle_in(Surroundings(self.store, self.members, self.inputs, self.counters, settings))
        self.audit = Audit(self.store, self.teams, 10.0)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[Following]:
        """Run it, with its subscription."""
        async with self.running():
            await self.feed.connect()
            self.teams.set_live(True)
            try:
                yield self
            finally:
                await self.spawn.end()
                for team in self.teams:
                    team.close()
                await self.feed.close()
                await self._client.aclose()
        assert self.failures == []

    # --- whose store it is ------------------------------------------------------------------------------------------

    def known(self, team: str) -> Mark:
        return self.teams.known(team)

    def observe(self, team: str, reply: Reply, known: Mark) -> None:
        super().observe(team, reply, known)
        self.teams.observe(team, reply, known)

    def holds_of(self, team: str) -> list[Hold]:
        return self.members.holds_of(team)

    def refused(self, hold: Hold) -> None:
        self.refusals.append(hold)
        self.members.refuse(hold)

    async def write_back(self, team: str) -> None:
        self.lost.append(team)
        await self.teams.write_back(team)

    # --- what happens -----------------------------------------------------------------------------------------------

    async def follow(self, name: str = TEAM) -> Team:
        """Open a team, and wait until its roster is there."""
        team = self.teams.use(name)
        await becomes_true(lambda: team.followed and team.replica.live)
        return team

    async def come(self, team: Team, user: str = "maria", session: str = "s1", *, idle_ms: int = 0) -> Connection:
        """A connection comes into a team, as by a hello."""
        connection = self.members.accept(Line())
        self.members.admit(connection, user, session)
        active_s = self.now_s() - idle_ms / 1000
        membership = self.members.join(connection, team, team.name, active_s, 0.0)
        mark, chosen = await self.store.tell(membership.hold)
        assert chosen is not None
        await team.replica.caught_up(mark)
        connection.opened(())
        team.add(connection, chosen, None)
        return connection
