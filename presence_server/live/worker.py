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
from collections.abc import Callable
from typing import Any, Final

from presence_server import errors
from presence_server.core import frames, messages
from presence_server.core.codes import CloseCode
from presence_server.core.connection import State
from presence_server.core.roster import Mark
from presence_server.live.access import TeamAccess
from presence_server.live.audit import Audit
from presence_server.live.connections import Connections
from presence_server.live.counters import Counters
from presence_server.live.heart import Heart
from presence_server.live.inputs import Inputs
from presence_server.live.members import Members
from presence_server.live.opening import Opening, Verifier
from presence_server.live.pulse import Pulse
from presence_server.live.recovery import Recovery
from presence_server.live.spawn import Spawn
from presence_server.live.sweeper import Sweeper
from presence_server.live.team import Surroundings
from presence_server.live.teams import Teams
from presence_server.settings import Settings
from presence_server.store.connect import database_of, open_client, open_pool
from presence_server.store.feed import Feed
from presence_server.store.hold import Hold
from presence_server.store.keys import Keys
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.scripts import REDIS_TIME, RETAIN_MS
from presence_server.store.sentinel import watch
from presence_server.store.store import Store
from presence_server.store.types import Reply

TICK_S: Final = 0.5
logger: Final = logging.getLogger(__name__)


class Worker:
    """One server process's live part.

    Args:
        settings: with `redis_url` set.
        verifier: checks tokens.
        clock: a monotonic clock, seconds.
        redis_time: the Lua expression of Redis's clock; tests have a clock of their own.

    Attributes:
        access: reads and writes for HTTP.
        connections: what sockets report to.
        counters: what is counted.
        live: whether statuses are fresh: Redis is within reach and every roster up to date.
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
    ) -> None:
        if settings.redis_url is None:
            raise errors.StartupError("Expected settings with a Redis URL, got none; start an embedded Valkey first")
        self.settings = settings
        self.counters = Counters()
        self.live = False
        self.draining = False
        self.failed = asyncio.Event()
        self.failure: BaseException | None = None
        self._clock = clock
        self._spawn = Spawn(self._part_failed)
        keys = Keys(settings.key_prefix, database_of(settings.redis_url))
        pool, client = open_pool(settings.redis_url), open_client(settings.redis_url)
        self._pools = (pool, client.connection_pool)
        self._store = Store(
            settings,
            pool,
            keys,
            self,
            self._spawn.part,
            clock=clock,
            redis_time=redis_time,
        )
        self._feed = Feed(
            client,
            self._store.lease.name,
            keys,
            on_update=self._hear,
            on_control=self._hear_control,
            on_down=self._feed_down,
        )
        self._pulse = Pulse(settings.ping_interval_s, settings.ping_timeout_s, self._end, clock)
        self._members = Members(self._store, self._pulse, self.counters, settings.max_connections_per_user, clock)
        self._teams = Teams(self._feed, self._spawn.part, clock)
        self._inputs = Inputs(self._store, self._members, self._teams, clock)
        self._teams.settle_in(Surroundings(self._store, self._members, self._inputs, self.counters, settings))
        self.access = TeamAccess(self._store, self._teams, settings.remember_ms)
        self._sweeper = Sweeper(self._store, self.counters)
        self._audit = Audit(self._store, self._teams, settings.lease_ttl_ms / 3000)
        self._heart = Heart(
            self._store,
            room=self._sweeper.room,
            on_due=self._sweeper.take,
            on_jump=self._inputs.tell_all,
            on_other_data=lambda: self._recovery.needed("Redis came back without its data"),
            on_look=self._audit.soon,
        )
        self._recovery = Recovery(
            self._store, self._feed, self._heart, self._teams, self._audit, self._tell_live, clock
        )
        opening = Opening(
            store=self._store,
            members=self._members,
            teams=self._teams,
            pulse=self._pulse,
            verifier=verifier,
            heartbeat_ms=settings.heartbeat_interval_ms,
            is_live=lambda: self.live,
            clock=clock,
        )
        self.connections = Connections(
            store=self._store,
            members=self._members,
            teams=self._teams,
            inputs=self._inputs,
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
        for part in (
            self._heart.run(),
            self._store.run(),
            self._recovery.run(),
            self._sweeper.run(),
            self._audit.run(),
            self._inputs.run(),
            self._pulse.run(),
            watch(self._pools, self._recovery.needed),
            self._tick(),
        ):
            self._spawn.part(part)

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
                await self._store.flush()

    async def stop(self) -> None:
        """Stop working and close what is open."""
        await self._spawn.end()
        for team in self._teams:
            team.close()
        await self._feed.close()
        await self._store.link.close()

    def _part_failed(self, failure: BaseException) -> None:
        logger.critical("A part of the worker has failed beyond repair; it ends", exc_info=failure)
        if self.failure is None:
            self.failure = failure
            self.failed.set()

    # --- what others ask --------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether it can serve: Redis is within reach, it does not drain, and all of it works."""
        return self.live and not self.draining and not self.failed.is_set()

    @property
    def id(self) -> str:
        """The first part of the ids of this worker's connections, new at every start."""
        return self._members.id

    def connection_count(self) -> int:
        """How many sockets are open."""
        return len(self._members)

    def team_counts(self) -> tuple[int, int]:
        """How many teams it follows, and of how many the statuses may be stale."""
        teams = list(self._teams)
        return len(teams), sum(team.stale or not self.live for team in teams)

    def lease_age_s(self) -> float:
        """How long ago the beat was sent by which the index knows this worker; since the start, before the first."""
        return self._clock() - self._store.vigil.beaten_s

    def users_by_status(self) -> dict[str, int]:
        """How many users of the teams this worker follows are online and busy."""
        counts = Counter(entry.status for team in self._teams for _, entry in team.replica.roster.visible())
        return {"online": counts["online"], "busy": counts["busy"]}

    # --- what the store asks and tells ------------------------------------------------------------------------------

    def known(self, team: str) -> Mark:
        """The mark of a team's roster; `NO_MARK` for none."""
        return self._teams.known(team)

    def observe(self, team: str, reply: Reply, known: Mark) -> None:
        """A reply has come, to a call that was sent when `known` was known."""
        self._teams.observe(team, reply, known)

    def holds_of(self, team: str) -> list[Hold]:
        """Every hold in a team, those under way included."""
        return self._members.holds_of(team)

    def refused(self, hold: Hold) -> None:
        """A hold may not stand: its session was signed out of the team."""
        self._members.refuse(hold)

    def session_ended(self, user: str, session: str) -> None:
        """A session was signed out for good, as was found when it was to be brought back."""
        self._members.end_session(user, session)

    async def write_back(self, team: str) -> None:
        """Redis has lost a team: write its roster back."""
        await self._teams.write_back(team)

    def out_of_reach(self, why: str) -> None:
        """Redis went out of reach."""
        self._recovery.needed(why)

    def team_stale(self, team: str, stale: bool) -> None:
        """Redis refuses to write to a team, or does not any more."""
        found = self._teams.get(team)
        if found is not None:
            found.set_stale(stale)

    # --- what is heard ----------------------------------------------------------------------------------------------

    def _hear(self, team: str, raw: bytes) -> None:
        self._teams.hear(team, raw)

    def _hear_control(self, message: dict[str, Any]) -> None:
        if "signed_out" in message:
            self._members.end_session(*message["signed_out"])
        elif "replaced" in message:
            self._members.replaced(*message["replaced"])
        elif "inputs" in message:
            self._inputs.tell_team(message["inputs"])

    def _feed_down(self, why: str) -> None:
        self._recovery.needed(why)

    def _end(self, connection: Any, code: int, reason: str) -> None:
        self._members.end(connection, code, reason)

    # --- state ------------------------------------------------------------------------------------------------------

    def _tell_live(self, live: bool) -> None:
        self._teams.set_live(live)
        if live:
            self._inputs.tell_now()
        if live == self.live:
            return
        self.live = live
        frame = frames.text(messages.feed(live=live))
        for connection in self._members.all():
            if connection.state is State.OPEN:
                connection.socket.write(frame)

    async def _tick(self) -> None:
        probed_s = pruned_s = closed_s = self._clock()
        while True:
            due_s = self._clock() + TICK_S
            await asyncio.sleep(TICK_S)
            now_s = self._clock()
            self.counters.event_loop_lag.observe(max(0.0, now_s - due_s))
            self._store.housekeep()
            self._count()
            if self._store.open and now_s - closed_s >= 2 * TICK_S:
                closed_s = now_s
                await self._close_empty_teams()
            if self.live and now_s - probed_s >= self.settings.lease_ttl_ms / 6000:
                probed_s = now_s
                self._spawn.part(self._feed.probe())
            if now_s - pruned_s >= RETAIN_MS / 12_000:
                pruned_s = now_s
                before_ms = self._store.now_ms() - RETAIN_MS
                for team in self._teams:
                    team.replica.roster.forget_offline(before_ms)

    async def _close_empty_teams(self) -> None:
        try:
            await self._teams.close_empty()
        except (OutOfReach, Refused) as exc:
            self._store.down(str(exc))

    def _count(self) -> None:
        counters = self.counters
        counters.redis_calls = self._store.link.calls
        counters.redis_failures = self._store.link.failures
        counters.changes_published = self._store.changes_published
