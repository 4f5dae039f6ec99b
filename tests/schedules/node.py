"""A real worker without its edge: its own event loop, its own network, and tabs instead of sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from presence_server.core import frames
from presence_server.live.connection import NullSocket
from presence_server.live.worker import Worker
from presence_server.settings import Settings
from presence_server.store.hold import Hold
from tests.schedules.virtual import Time, VirtualLoop
from tests.schedules.wire import Wire
from tests.support.view import TeamView

# How long nothing of a worker may keep it from ending.
_END_TURNS = 200


class Claims(NamedTuple):
    """What a token says; here the token is this, as JSON."""

    user: str
    teams: tuple[str, ...]
    session: str | None
    issued_at_s: float
    expires_at_s: float
    all_teams: bool


class Verifier:
    """Believes every token."""

    def verify_now(self, token: str) -> Claims:
        user, teams, session, issued_at_s = orjson.loads(token)
        return Claims(user, tuple(teams), session, issued_at_s, 1e12, False)

    async def verify(self, token: str) -> Claims:
        raise AssertionError("Expected every token to be verified at once")


class Node:
    """One worker.

    Args:
        slot: what the test calls it.
        settings: of the worker; where Redis is, the wire says.
        wire: its network.
        time: the test's.
        redis_time: Redis's clock, in Lua.
        on_input: is told whose input the worker gets to know of, and how many milliseconds ago it was.
        partitions: how many there are.

    Attributes:
        name: under which the index knows it, as last heard.
        stopped: whether it stands still.
        crashed_ms: when it crashed; None while it has not.
        tabs: its connections, those that have ended included.
    """

    def __init__(
        self,
        slot: str,
        settings: Settings,
        wire: Wire,
        time: Time,
        redis_time: str,
        on_input: Callable[[str, int], None],
        partitions: int = 1,
    ) -> None:
        self.slot = slot
        self.wire = wire
        self.time = time
        self.on_input = on_input
        self.name = ""
        self.stopped = False
        self.crashed_ms: int | None = None
        self.tabs: list[Tab] = []
        self.loop = VirtualLoop(time)
        self._tasks: set[asyncio.Task[Any]] = set()
        settings = replace(settings, redis_url=f"unix://{wire.path}")

        async def start() -> Worker:
            worker = Worker(settings, Verifier(), clock=self.loop.time, redis_time=redis_time, partitions=partitions)
            await worker.start()
            return worker

        self.worker = self.loop.run_until_complete(start())

    @property
    def running(self) -> bool:
        return not self.stopped and self.crashed_ms is None

    def run(self) -> bool:
        """Do all there is to do now; tells whether there was anything."""
        return self.loop.run_until_quiet(self.wire.carry)

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Have the worker do something; it goes on when the worker runs."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        return task

    def holds(self, team: str) -> list[Hold]:
        """The holds that the worker vouches for."""
        internals: Any = self.worker
        return [hold for hold in internals._members.holds_of(team) if not hold.gone]

    def lanes(self) -> set[str]:
        """The teams that it keeps something of."""
        return {team for partition in self.worker.partitions for team in partition.store.teams()}

    def close(self) -> None:
        """End it, and see that nothing of it has failed."""
        self.wire.close()
        self.loop.run_until_quiet(self.wire.carry)
        for task in self._tasks:
            task.cancel()
        end = self.loop.create_task(self._end())
        for _ in range(_END_TURNS):
            self.loop.run_until_quiet(self.wire.carry)
            if end.done():
                break
            self.time.now_ms += 100
        end.result()
        self.loop.run_until_quiet(self.wire.carry)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        if self.worker.failure is not None:
            raise self.worker.failure

    async def _end(self) -> None:
        await self.worker.stop()


class Tab(NullSocket):
    """One connection of a user, and what he sees by it.

    Attributes:
        opened_ms, closed_ms: when; None before it is closed.
        code: with which the server closed it; None when it did not.
        lost: whether the user has closed it.
        views: what it was told, by team.
        live: whether it was told that statuses are fresh.
    """

    def __init__(self, node: Node, user: str, session: str, teams: tuple[str, ...], idle_ms: int) -> None:
        self.node = node
        self.user = user
        self.session = session
        self.teams = teams
        self.opened_ms = node.time.now_ms
        self.closed_ms: int | None = None
        self.code: int | None = None
        self.lost = False
        self.live = True
        self.views: dict[str, TeamView] = {}
        # Under which name each team was told of it, when it was closed.
        self.holders: dict[str, str] = {}
        self.connection: Any = None
        node.tabs.append(self)
        node.loop.call_soon(self._connect, idle_ms)

    @property
    def open(self) -> bool:
        """Whether neither side has closed it, as far as its user knows."""
        return self.code is None and not self.lost and self.node.crashed_ms is None

    @property
    def issued_at_s(self) -> int:
        return self.opened_ms // 1000

    def say(self, **message: Any) -> None:
        """Send a message."""
        self.node.loop.call_soon(self._send, message)

    def close_it(self, holders: dict[str, str]) -> None:
        """The user closes it, or loses his network."""
        self.lost, self.closed_ms, self.holders = True, self.node.time.now_ms, holders
        self.node.loop.call_soon(self._lose)

    def _connect(self, idle_ms: int) -> None:
        self.connection = self.node.worker.connections.accept(self)
        token = orjson.dumps([self.user, self.teams, self.session, self.issued_at_s]).decode()
        self._send({"type": "hello", "token": token, "idle_ms": idle_ms})

    def _send(self, message: dict[str, Any]) -> None:
        if self.code is None:
            if "idle_ms" in message:
                self.node.on_input(self.user, message["idle_ms"])
            self.node.worker.connections.received(self.connection, orjson.dumps(message))

    def _lose(self) -> None:
        if self.code is None:
            self.node.worker.connections.lost(self.connection, 1006)

    # --- the socket ---------------------------------------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        message = orjson.loads(frames.payload(frame))
        if message["type"] == "snapshot":
            self._view(message).apply_snapshot(message, self.node.time.now_ms)
        elif message["type"] == "delta":
            self._view(message).apply_delta(message, self.node.time.now_ms)
        elif message["type"] == "self":
            self._view(message).apply_self(message)
        elif message["type"] == "feed":
            self.live = message["live"]

    def _view(self, message: dict[str, Any]) -> TeamView:
        return self.views.setdefault(message["team"], TeamView(message["team"]))

    def ping(self) -> None:
        self.connection.heard_s = self.node.loop.time()

    def close(self, code: int, reason: str = "") -> None:
        self.code, self.closed_ms = code, self.node.time.now_ms
