"""The project's own worker, whole but for its sockets: users are held, told of changes and brought back as ever.

What is missing is the kernel, the WebSocket protocol, tokens and pings: so one machine carries a million users.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from presence_server.core.connection import State
from presence_server.live.connection import Connection, NullSocket
from presence_server.live.worker import Worker
from presence_server.settings import Settings
from presence_server.store.reads import Reads
from presence_server.web.auth import Claims

_AT_ONCE: Final = 500
_STEP_S: Final = 0.02
_PATIENCE_S: Final = 1_800.0
# Nobody falls idle and nobody is pinged during a run, however long it takes.
_LONG_MS: Final = 86_400_000
_FAR_S: Final = 4e9
_DECIDED: Final = (State.OPEN, State.CLOSED)


class Place(NamedTuple):
    """Which teams a worker has: their names begin with `w<number>t`; each of so many users."""

    number: int
    teams: int
    team_size: int

    def names(self) -> list[str]:
        """The teams."""
        return [f"w{self.number}t{at}" for at in range(self.teams)]

    def users(self, team: str) -> list[str]:
        """The users of a team."""
        return [f"{team}u{at}" for at in range(self.team_size)]


class StoreWorker:
    """A worker of the users of its teams.

    Args:
        url: of Redis.
        place: its teams.
    """

    def __init__(self, url: str, place: Place) -> None:
        # Many workers share the cores with Valkey, whose scripts must not seem long because it had to wait for them.
        os.nice(10)
        # Redis comes and goes as it is meant to.
        logging.getLogger("presence_server").setLevel(logging.ERROR)
        self._place = place
        self._worker = Worker(_settings(url), _Trusting())
        self._tally = _Tally()
        self._connections: dict[str, Connection] = {}
        self._busy: set[str] = set()

    async def start(self) -> None:
        """Be there."""
        await self._worker.start()
        await _until(lambda: self._worker.partitions.live)

    async def enter(self) -> None:
        """Let all users sign in, each with a view of no more than the ten first of his team."""
        for portion in _portions((team, user) for team in self._place.names() for user in self._place.users(team)):
            left = portion
            while left:
                for team, user in left:
                    self._connections[user] = self._worker.connections.accept(_Silent(self._tally))
                    hello = {"type": "hello", "token": f"{team} {user}", "watch": {team: self._place.users(team)[:10]}}
                    self._worker.connections.received(self._connections[user], orjson.dumps(hello))
                entered = [self._connections[user] for _, user in left]
                await _until(lambda entered=entered: all(each.state in _DECIDED for each in entered))  # type: ignore[misc]
                # On a machine that is too busy some are told to try again.
                left = [who for who, each in zip(left, entered, strict=True) if each.state is State.CLOSED]

    async def choose(self, per_s: float, seconds: float) -> None:
        """Let one user after another choose, at a pace for a while."""
        # Those of a team are far apart.
        order = sorted(self._connections, key=lambda user: user[::-1])
        count = round(per_s * seconds)
        before, started_s = self._tally.acks, time.monotonic()
        for at, user in enumerate(itertools.islice(itertools.cycle(order), count)):
            await asyncio.sleep(max(0.0, started_s + at / per_s - time.monotonic()))
            self._busy.symmetric_difference_update([user])
            status = {"type": "set_status", "id": at, "status": "busy" if user in self._busy else "online"}
            self._worker.connections.received(self._connections[user], orjson.dumps(status))
        await _until(lambda: self._tally.acks >= before + count)

    async def round_trips(self, count: int) -> list[float]:
        """How long one choice after another takes to be acknowledged, each of them, seconds."""
        took_s = []
        for _, user in zip(range(count), itertools.cycle(self._connections), strict=False):
            self._busy.symmetric_difference_update([user])
            status = {"type": "set_status", "id": 0, "status": "busy" if user in self._busy else "online"}
            acknowledged, started_s = self._tally.next_ack(), time.monotonic()
            self._worker.connections.received(self._connections[user], orjson.dumps(status))
            await acknowledged
            took_s.append(time.monotonic() - started_s)
        return took_s

    async def recovered(self) -> None:
        """Wait until statuses are fresh, and Redis has been told all."""
        await _until(lambda: self._worker.partitions.live)
        await self._worker.partitions.flush()

    async def held(self) -> int:
        """How many users are shown as not offline and stand in Redis as connected."""
        count = 0
        for team in self._place.names():
            found = await self._reads(team).details(team, self._place.users(team))
            count += sum(user.status != "offline" and bool(user.connections) for user in found.users)
        return count

    async def disturbed(self) -> int:
        """How many times a connection here was told that somebody is offline, or was closed."""
        return self._tally.disturbed

    async def changes_made(self) -> int:
        """How many changes this worker has made in Redis."""
        return sum(partition.store.changes_published for partition in self._worker.partitions)

    async def lease_end_ms(self) -> int:
        """When this worker's lease ends if it beats no more, by Redis's clock."""
        return max(partition.store.lease.until_ms for partition in self._worker.partitions)

    async def latest_ms(self, place: Place) -> int:
        """When the latest change of status of another worker's users was, by Redis's clock."""
        read = self._worker.access.read_team
        views = [await read(team, place.users(team)) for team in place.names()]
        return max(presence.since or 0 for view in views for presence in view.users.values())

    def _reads(self, team: str) -> Reads:
        return self._worker.partitions.of(team).store.reads


class _Tally:
    acks = 0
    disturbed = 0
    _next: asyncio.Future[None] | None = None

    def next_ack(self) -> asyncio.Future[None]:
        """Done with the next acknowledgement."""
        self._next = asyncio.get_running_loop().create_future()
        return self._next

    def acknowledge(self, count: int) -> None:
        """So many have come."""
        self.acks += count
        if count and self._next is not None and not self._next.done():
            self._next.set_result(None)


class _Silent(NullSocket):
    """A socket whose other side says nothing."""

    __slots__ = ("_tally",)

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally

    def write(self, frame: bytes) -> None:
        self._tally.acknowledge(b'"type":"ack"' in frame)
        self._tally.disturbed += frame.count(b'"status":"offline"')

    def close(self, code: int, reason: str = "") -> None:
        self._tally.disturbed += 1


class _Trusting:
    """Believes tokens that are just a team and a user."""

    def verify_now(self, token: str) -> Claims:
        team, _, user = token.partition(" ")
        return Claims(user, (team,), "s", _FAR_S, 0.0, admin=False, all_teams=False)

    async def verify(self, token: str) -> Claims:
        return self.verify_now(token)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(_STEP_S)


def _portions(items: Iterable[Any]) -> Iterable[Sequence[Any]]:
    iterator = iter(items)
    while portion := list(itertools.islice(iterator, _AT_ONCE)):
        yield portion


def _settings(url: str) -> Settings:
    long_s = _LONG_MS / 1000
    return Settings(
        redis_url=url,
        idle_timeout_ms=_LONG_MS,
        ping_interval_s=long_s,
        ping_timeout_s=long_s,
    )
