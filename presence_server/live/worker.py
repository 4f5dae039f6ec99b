"""This worker: the parts of `live`, put together, started, drained and stopped.

One way of delivery: a worker never tells its own sockets directly. Everything goes to Redis and comes back by the feed,
so that every worker sees the same changes in the same order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from presence_server import errors
from presence_server.core import frames, messages
from presence_server.core.codes import CloseCode
from presence_server.core.connection import State
from presence_server.live.access import TeamAccess
from presence_server.live.connections import Connections
from presence_server.live.counters import Counters
from presence_server.live.heart import Rhythm
from presence_server.live.members import Members
from presence_server.live.opening import Opening, Verifier
from presence_server.live.partition import Partition, Shared
from presence_server.live.partitions import Partitions
from presence_server.live.pulse import Pulse
from presence_server.live.reach import Reach
from presence_server.live.spawn import Spawn
from presence_server.settings import Settings
from presence_server.store.backends import open_backend
from presence_server.store.scripts import REDIS_TIME

TICK_S: Final = 0.5
logger: Final = logging.getLogger(__name__)


class Worker:
    """One server process's live part.

    Args:
        settings: with `redis_url` set.
        verifier: checks tokens.
        clock: a monotonic clock, seconds.
        redis_time: the Lua expression of Redis's clock; tests have a clock of their own.
        partitions: how many teams are divided into, where tests want another number than in service.

    Attributes:
        access: reads and writes for HTTP.
        connections: what sockets report to.
        counters: what is counted.
        partitions: the teams it follows, and all that keeps them.
        draining: whether the worker is on its way out.
        failed: set when a part has failed beyond repair: whoever runs the worker drains and ends it.
        failure: what that part ended with.
    """

    def __init__(
        self,
        settings: Settings,
        verifier: Verifier,
        *,
        clock: Callable[[], float] = time.monotonic,
        redis_time: str = REDIS_TIME,
        partitions: int | None = None,
    ) -> None:
        if settings.redis_url is None:
            raise errors.StartupError("Expected settings with a Redis URL, got none; start an embedded Valkey first")
        self.settings = settings
        self.counters = Counters()
        self.draining = False
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None
        self._clock = clock
        self._spawn = Spawn(self._part_failed)
        self._backend = open_backend(settings, clock, redis_time, partitions)
        self._pulse = Pulse(settings.ping_interval_s, settings.ping_timeout_s, self._end, clock)
        self.partitions = Partitions()
        self._reach = Reach(lambda: (len(self.partitions), sum(each.live for each in self.partitions)))
        self._members = Members(self.partitions, self._pulse, self.counters, settings.max_connections_per_user, clock)
        shared = Shared(
            settings, self._backend, self._members, self.counters, self._spawn, Rhythm(), self._reach.say, clock
        )
        self.partitions.settle_in(Partition(shared, keys, self) for keys in self._backend.keys)
        self.access = TeamAccess(self.partitions, settings.remember_ms)
        opening = Opening(
            partitions=self.partitions,
            members=self._members,
            pulse=self._pulse,
            verifier=verifier,
            spawn=self._spawn,
            heartbeat_ms=settings.heartbeat_interval_ms,
            clock=clock,
        )
        self.connections = Connections(
            partitions=self.partitions,
            members=self._members,
            opening=opening,
            access=self.access,
            pulse=self._pulse,
            counters=self.counters,
            spawn=self._spawn,
            clock=clock,
        )

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to work; Redis need not be there yet."""
        for partition in self.partitions:
            partition.start()
        self._spawn.part(self._backend.watch(self._moved))
        self._spawn.part(self._pulse.run())
        self._spawn.part(self._tick())

    async def drain(self, timeout_s: float) -> None:
        """Close all sockets with 4001, spread over `timeout_s`, and see that Redis forgives them (section 7)."""
        self.draining = True
        connections = self._members.all()
        started_s = self._clock()
        for i, connection in enumerate(connections):
            wait_s = started_s + timeout_s * 0.9 * i / len(connections) - self._clock()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._end(connection, CloseCode.DRAINING, CloseCode.DRAINING.reason)
        for connection in self._members.all():
            self._end(connection, CloseCode.DRAINING, CloseCode.DRAINING.reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self.partitions.flush()

    async def stop(self) -> None:
        """Stop working and close what is open."""
        await self._spawn.end()
        self._reach.close()
        for partition in self.partitions:
            await partition.stop()
        await self._backend.close()

    def _part_failed(self, failure: BaseException) -> None:
        logger.critical("A part of the worker has failed beyond repair; it ends", exc_info=failure)
        if self.failure is None:
            self.failure = failure
            self.failed.set()

    # --- what others ask --------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether it can serve: anything of Redis is within reach, it does not drain, and all of it works."""
        return self.partitions.live and not self.draining and not self.failed.is_set()

    @property
    def id(self) -> str:
        """The first part of the ids of this worker's connections, new at every start."""
        return self._members.id

    def connection_count(self) -> int:
        """How many sockets are open."""
        return len(self._members)

    def team_counts(self) -> tuple[int, int]:
        """How many teams it follows, and of how many the statuses may be stale."""
        stale = [team.stale or not partition.live for partition in self.partitions for team in partition.teams]
        return len(stale), sum(stale)

    def lease_age_s(self) -> float:
        """How long ago the beat was sent by which an index knows this worker, the oldest of them; before the first,
        since the start."""
        return self._clock() - min(partition.store.vigil.beaten_s for partition in self.partitions)

    def users_by_status(self) -> dict[str, int]:
        """How many users of the teams this worker follows are online and busy."""
        teams = [team for partition in self.partitions for team in partition.teams]
        counts = Counter(entry.status for team in teams for _, entry in team.replica.roster.visible())
        return {"online": counts["online"], "busy": counts["busy"]}

    # --- what partitions ask and tell -------------------------------------------------------------------------------

    def live_changed(self, partition: Partition) -> None:
        """A partition's statuses have become fresh, or may be stale; of several, each tells its own teams."""
        if len(self.partitions) > 1:
            return
        frame = frames.text(messages.feed(live=partition.live))
        for connection in self._members.all():
            if connection.state is State.OPEN:
                connection.socket.write(frame)

    def reach_changed(self, why: str) -> None:
        """Redis is within a partition's reach, or is not and why."""
        self._reach.changed(why)

    def _moved(self, why: str) -> None:
        for partition in self.partitions:
            partition.out_of_reach(why)

    async def signed_out(self, sessions: Sequence[tuple[str, str]]) -> list[bool]:
        """Tell of each user and session whether it is signed out for good."""
        return await self.partitions.signed_out(sessions)

    def hear_control(self, message: dict[str, Any]) -> None:
        """A message to all workers has come."""
        if "signed_out" in message:
            self._members.end_session(*message["signed_out"])
        elif "replaced" in message:
            self._members.replaced(*message["replaced"])
        elif "inputs" in message:
            team = message["inputs"]
            self.partitions.of(team).inputs.tell_team(team)

    def _end(self, connection: Any, code: int, reason: str) -> None:
        self._members.end(connection, code, reason)

    async def _tick(self) -> None:
        while True:
            due_s = self._clock() + TICK_S
            await asyncio.sleep(TICK_S)
            now_s = self._clock()
            self.counters.event_loop_lag.observe(max(0.0, now_s - due_s))
            for partition in self.partitions:
                partition.tick(now_s)
            self._count()

    def _count(self) -> None:
        counters = self.counters
        counters.redis_calls = self._backend.calls
        counters.redis_failures = self._backend.failures
        counters.changes_published = sum(partition.store.changes_published for partition in self.partitions)
