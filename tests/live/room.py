"""Teams without Redis: rosters changed by hand, real fan-out and connections, and sockets that read when told to."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

import orjson

from presence_server.core import frames
from presence_server.core.messages import Position
from presence_server.core.roster import Change, Mark, Roster
from presence_server.live.connection import Connection
from presence_server.live.connections import Connections
from presence_server.live.counters import Counters
from presence_server.live.fanout import FanOut
from presence_server.live.members import Members
from presence_server.live.pulse import Pulse
from presence_server.store.hold import Hold
from tests.support.timing import SOON_S
from tests.support.view import TeamView

# So long that nothing is flushed but by the test.
NEVER_S = 1e9


class Member:
    """One connection: its socket, and the view of it that a correct client has.

    Attributes:
        views: by team.
        messages: what it was sent, in order.
        narrow: whether its socket takes one frame and no more.
    """

    def __init__(self, room: Room, user: str) -> None:
        self.room = room
        self.views: dict[str, TeamView] = {}
        self.messages: list[dict[str, Any]] = []
        self.narrow = False
        self.closed: int | None = None
        self.reading = True
        self.pings = 0
        self.connection = room.connections.accept(self)
        room.members.admit(self.connection, user, "s1")
        self.connection.opened(())

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def shown(self, team: str = "acme") -> dict[str, str]:
        view = self.views[team]
        assert view.complete, f"Expected a complete view, got {self.messages}"
        return view.statuses()

    def is_whole(self, team: str) -> bool:
        """Whether it has a view of a team, and no snapshot of which the rest is still to come."""
        of_team = [message for message in self.messages if message["team"] == team]
        return bool(of_team) and "more" not in of_team[-1]

    def widen(self) -> None:
        """Read everything: the socket takes data again."""
        self.narrow = False
        if self.connection.blocked_s:
            self.room.connections.resumed(self.connection)

    # The socket of a connection.

    def write(self, frame: bytes) -> None:
        assert self.closed is None
        message = orjson.loads(frames.payload(frame))
        self.messages.append(message)
        view = self.views.setdefault(message["team"], TeamView(message["team"]))
        if message["type"] == "snapshot":
            view.apply_snapshot(message, 0)
        else:
            view.apply_delta(message, 0)
        if self.narrow:
            self.room.connections.paused(self.connection)

    def ping(self) -> None:
        self.pings += 1

    def close(self, code: int, reason: str = "") -> None:
        self.closed = code

    def abort(self) -> None:
        self.closed = 1006

    def pending(self) -> int:
        return int(self.connection.blocked_s > 0)

    def taken(self) -> int:
        return -self.pending()

    def silent_s(self) -> float:
        return math.inf

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Team:
    """One team: its roster, changed by hand."""

    def __init__(self, name: str, counters: Counters, coalesce_s: float) -> None:
        self.name = name
        self.roster = Roster()
        self.roster.replace((), Mark("k1", 0, ""), 0)
        self.fanout = FanOut(name, self.roster, coalesce_s, counters, lambda: self.roster.mark.version * 10 + 5)

    @property
    def position(self) -> Position:
        return Position(self.roster.mark.epoch, self.roster.mark.version)

    def discard(self, connection: Connection) -> None:
        self.fanout.discard(connection)

    def block(self, connection: Connection) -> None:
        self.fanout.block(connection)

    def unblock(self, connection: Connection) -> None:
        self.fanout.unblock(connection)

    def change(self, *changes: tuple[str, str]) -> None:
        """Users change their status, all in one update."""
        self._apply(Change(user, 0, status, 0, "chosen", status) for user, status in changes)

    def choose_offline(self, user: str, chosen: str) -> None:
        """Someone who is offline chooses: teammates see nothing of it."""
        entry = self.roster.get(user)
        since, reason = (entry.since, entry.reason) if entry else (0, "")
        self._apply([Change(user, 0, "offline", since, reason, chosen)], same_since=True)

    def configure(self) -> None:
        """The version rises, and nobody changed."""
        self._apply([])

    def begin_epoch(self, epoch: str, users: dict[str, str]) -> None:
        """Another history: the whole roster is another one."""
        changes = [
            Change(user, n, status, n * 10, "active", status) for n, (user, status) in enumerate(users.items(), 1)
        ]
        self.roster.replace(changes, Mark(epoch, len(users) + 1, ""), 0)
        self.fanout.replaced()

    def _apply(self, changes: Iterable[Change], *, same_since: bool = False) -> None:
        version = self.roster.mark.version
        numbered = [
            change._replace(version=version + n, since=change.since if same_since else (version + n) * 10)
            for n, change in enumerate(changes, 1)
        ]
        news = self.roster.apply(numbered, Mark(self.roster.mark.epoch, version + max(1, len(numbered)), ""))
        self.fanout.changed([item.change.user for item in news if item.visible])

    def statuses(self, watched: Iterable[str] | None = None) -> dict[str, str]:
        """Who is not offline, of all or of some."""
        users = None if watched is None else set(watched)
        return {user: entry.status for user, entry in self.roster.visible() if users is None or user in users}


class Untold:
    """Nobody who is told of holds."""

    def let_go(self, hold: Hold) -> None:
        pass


class Room:
    """Some teams on one worker."""

    def __init__(self, *names: str, coalesce_s: float = NEVER_S) -> None:
        self.counters = Counters()
        self.teams = {name: Team(name, self.counters, coalesce_s) for name in names or ("acme",)}
        pulse = Pulse(20.0, 20.0, lambda connection, code, reason: self.members.end(connection, code, reason))
        self.members = Members(Untold(), pulse, self.counters, 1_000, time.monotonic)
        # Nothing here asks for anything, so that whatever carries out requests can be missing.
        missing = cast(Any, None)
        self.connections = Connections(
            partitions=missing,
            members=self.members,
            opening=missing,
            access=missing,
            pulse=pulse,
            counters=self.counters,
            spawn=missing,
            clock=time.monotonic,
        )

    @property
    def team(self) -> Team:
        return self.teams["acme"]

    def join(
        self,
        user: str = "maria",
        *,
        narrow: bool = False,
        watch: Iterable[str] | None = None,
        resume_from: Member | None = None,
    ) -> Member:
        """Bring a connection into every team.

        Args:
            narrow: its socket is full with the first frame.
            watch: the users it is narrowed to, in every team.
            resume_from: an earlier connection, whose views it goes on with.
        """
        member = Member(self, user)
        member.narrow = narrow
        for name, team in self.teams.items():
            if watch is not None:
                member.connection.narrow(name, frozenset(watch))
            resume = None
            if resume_from is not None:
                view = member.views[name] = resume_from.views[name].continued()
                resume = Position(cast(str, view.epoch), view.version)
            self.members.join(member.connection, team, name, 0.0, 0.0)
            member.connection.teams += (name,)
            team.fanout.add(member.connection, resume)
        return member

    def rewatch(self, member: Member, users: Iterable[str] | None, team: str = "acme") -> None:
        member.connection.narrow(team, None if users is None else frozenset(users))
        self.teams[team].fanout.rewatch(member.connection)

    def flush(self) -> None:
        for team in self.teams.values():
            team.fanout.flush()


class Clock:
    """A module's clock, which jumps when told."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


async def settle() -> None:
    """Let everything run that was put off to the next turns of the loop."""
    for _ in range(30):
        await asyncio.sleep(0)


async def until(found: Callable[[], object], within_s: float = SOON_S) -> None:
    """Wait until `found()` is true."""
    async with asyncio.timeout(within_s):
        while not found():  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(0.002)
