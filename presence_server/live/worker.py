"""This worker: where the decisions of `core` meet sockets and Redis.

One way of delivery: a worker never tells its own sockets directly. Everything goes to Redis and comes back by the feed,
so that every worker sees the same changes in the same order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from typing import Any, Final

from presence_server import errors
from presence_server.core import frames, messages
from presence_server.core.codes import CloseCode
from presence_server.core.connection import State
from presence_server.core.roster import NO_MARK, Mark
from presence_server.live.access import TeamAccess
from presence_server.live.connections import Connections
from presence_server.live.counters import Counters
from presence_server.live.holds import Hold, Holds
from presence_server.live.opening import Verifier
from presence_server.live.pulse import Pulse
from presence_server.live.recovery import Recovery
from presence_server.live.sweeper import Sweeper
from presence_server.live.team import Team
from presence_server.settings import Settings
from presence_server.store import tasks
from presence_server.store.connect import open_client
from presence_server.store.direct import RETAIN_MS
from presence_server.store.feed import Feed
from presence_server.store.link import Link, OutOfReach, Refused
from presence_server.store.store import Store
from presence_server.store.types import Reply

TICK_S: Final = 0.5
# How long a team that nobody here is in any more is kept: reloads and reconnects come back to it.
LINGER_S: Final = 10.0
logger: Final = logging.getLogger(__name__)


class Worker:
    """One server process's live part.

    Args:
        settings: with `redis_url` set.
        verifier: checks tokens.

    Attributes:
        access: reads and writes for HTTP, and what a connection asks of its own user.
        id: this worker's name in leases and connection ids, new at every start.
        live: whether statuses are fresh: Redis is within reach and every roster up to date.
        draining: whether the worker is on its way out.
    """

    def __init__(self, settings: Settings, verifier: Verifier) -> None:
        if settings.redis_url is None:
            raise errors.StartupError("Expected settings with a Redis URL, got none; start an embedded Valkey first")
        self.id = secrets.token_hex(4)
        self.settings = settings
        self.verifier = verifier
        self.counters = Counters()
        self.live = False
        self.draining = False
        self.teams: dict[str, Team] = {}
        self._empty_since: dict[str, float] = {}
        self._client = open_client(settings.redis_url)
        self._link = Link(self._client)
        self.store = Store(
            self._link, settings, self.id, known=self._known, observe=self._observe, on_down=self._redis_down
        )
        self._feed = Feed(
            self._client,
            self.id,
            self.store.keys,
            on_update=self._hear,
            on_control=self._hear_control,
            on_down=self._redis_down,
        )
        self.access = TeamAccess(self.store, self.teams, settings.remember_ms)
        self.holds = Holds(self.store, settings.lease_ttl_ms / 3000, self._idle_timeout_s, self._lease_gone)
        self.connections = Connections(self)
        self._recovery = Recovery(
            self.store, self._feed, self.holds, self._followed_teams, self.connections.leave_team, self._tell_live
        )
        self._sweeper = Sweeper(self.store, settings.lease_ttl_ms, self.counters, self._recovery.check)
        self.pulse = Pulse(settings.ping_interval_s, settings.ping_timeout_s, self.connections.end)
        self._went_live = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to work; Redis need not be there yet."""
        for work in (
            self.store.run(),
            self._recovery.run(),
            self._sweeper.run(),
            self.holds.run(),
            self.pulse.run(),
            self._tick(),
        ):
            self._spawn(work)

    async def drain(self, timeout_s: float) -> None:
        """Close all sockets with 4001, spread over `timeout_s`, and see that Redis forgives them (section 7)."""
        self.draining = True
        connections = self.connections.all()
        started_s = time.monotonic()
        for i, connection in enumerate(connections):
            wait_s = started_s + timeout_s * 0.9 * i / len(connections) - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self.connections.end(connection, CloseCode.DRAINING)
        for connection in self.connections.all():
            self.connections.end(connection, CloseCode.DRAINING)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await self.store.flush()

    async def stop(self) -> None:
        """Stop working and close what is open."""
        await tasks.end(self._tasks)
        for team in self.teams.values():
            team.close()
        await self._feed.close()
        await self._link.close()

    @property
    def ready(self) -> bool:
        """Whether it can serve: Redis is within reach and it does not drain."""
        return self.live and not self.draining

    def connection_count(self) -> int:
        """How many sockets are open."""
        return len(self.connections)

    def users_by_status(self) -> dict[str, int]:
        """How many users of the teams this worker follows are online and busy."""
        counts = Counter(entry.status for team in self.teams.values() for _, entry in team.replica.roster.visible())
        return {"online": counts["online"], "busy": counts["busy"]}

    # --- teams --------------------------------------------------------------------------------------------------------

    def use_team(self, name: str) -> Team:
        """The team, opened if need be; the caller takes one off `pending` when done."""
        team = self.teams.get(name)
        if team is None:
            team = self.teams[name] = Team(name, self)
            self._spawn(self._open_team(team))
        team.pending += 1
        return team

    async def _open_team(self, team: Team) -> None:
        while self.teams.get(team.name) is team:
            await self._went_live.wait()
            try:
                await self._feed.subscribe(team.name)
                # From here on a recovery reads it too.
                team.followed = True
                await team.replica.read()
                return
            except OutOfReach as exc:
                self.store.down(str(exc))
                await asyncio.sleep(0)
            except Refused as exc:
                logger.error("Redis refused to let team %s be read: %s", team.name, exc)
                await asyncio.sleep(TICK_S)

    async def _close_empty_teams(self, now_s: float) -> None:
        for team in list(self.teams.values()):
            if not team.empty:
                self._empty_since.pop(team.name, None)
            elif now_s - self._empty_since.setdefault(team.name, now_s) >= LINGER_S:
                del self.teams[team.name], self._empty_since[team.name]
                team.close()
                self.store.forget(team.name)
                await self._feed.unsubscribe(team.name)

    def _followed_teams(self) -> list[Team]:
        return [team for team in self.teams.values() if team.followed]

    def _known(self, name: str) -> Mark:
        team = self.teams.get(name)
        return NO_MARK if team is None else team.mark

    def _idle_timeout_s(self, name: str) -> float:
        team = self.teams.get(name)
        return 0.0 if team is None else team.replica.idle_timeout_ms / 1000

    # --- what comes back from Redis -----------------------------------------------------------------------------------

    def _observe(self, name: str, reply: Reply, known: Mark) -> None:
        team = self.teams.get(name)
        if team is not None:
            team.replica.observe(reply, known)

    def _hear(self, name: str, raw: bytes) -> None:
        team = self.teams.get(name)
        if team is not None:
            team.replica.hear(raw)

    def _hear_control(self, message: dict[str, Any]) -> None:
        if "signed_out" in message:
            user, session, teams = message["signed_out"]
            self.connections.end_session(user, session, without=teams)
        elif "replaced" in message:
            self.connections.replaced(*message["replaced"])

    def session_ended(self, team: str, user: str, session: str, version: int) -> None:
        """A session, or with an empty name all of a user's, ended in a team when it was at `version`."""
        for connection in self.connections.of_user(user):
            for hold in connection.holds:
                if hold.team == team and session in ("", hold.session):
                    if not hold.version:
                        hold.refused_at = version
                    elif hold.version < version:
                        self.connections.leave_team(hold)

    def _lease_gone(self, hold: Hold, why: str) -> None:
        if why == "signed_out":
            self.connections.leave_team(hold)
        elif hold.version:
            self._spawn(self._rejoin(hold))

    async def _rejoin(self, hold: Hold) -> None:
        with contextlib.suppress(errors.Unavailable):
            reply, chosen = await self.store.join(
                hold.team, hold.user, hold.session, hold.connections, hold.active_s, hold.issued_at_s
            )
            if chosen is None:
                self.connections.leave_team(hold)
            else:
                hold.version = reply.mark.version

    # --- state --------------------------------------------------------------------------------------------------------

    def _redis_down(self, why: str) -> None:
        self._recovery.needed(why)

    def _tell_live(self, live: bool) -> None:
        if live == self.live:
            return
        self.live = live
        if live:
            self._went_live.set()
        else:
            self._went_live.clear()
        frame = frames.text(messages.FEED_LIVE if live else messages.FEED_STALE)
        for connection in self.connections.all():
            if connection.state is State.OPEN:
                connection.socket.write(frame)

    async def _tick(self) -> None:
        probed_s = pruned_s = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            self.store.housekeep()
            self.counters.redis_calls = self._link.calls
            self.counters.redis_failures = self._link.failures
            self.counters.changes_published = self.store.changes_published
            self.counters.resyncs += sum(team.take_resyncs() for team in self.teams.values())
            await self._close_empty_teams(now_s)
            if self.live and now_s - probed_s >= self.settings.lease_ttl_ms / 6000:
                probed_s = now_s
                self._spawn(self._feed.probe())
            if now_s - pruned_s >= RETAIN_MS / 12_000:
                pruned_s = now_s
                before_ms = self.store.now_ms() - RETAIN_MS
                for team in self.teams.values():
                    team.replica.roster.forget_offline(before_ms)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            logger.critical("A part of the worker has failed; restart it", exc_info=failure)
