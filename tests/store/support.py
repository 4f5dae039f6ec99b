"""A worker's store for tests: on a real Valkey, by a clock of the test's own, with the little above that it needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

import redis

from presence_server.core.roster import NO_MARK, Mark
from presence_server.core.status import UserDetail
from presence_server.live.counters import Counters
from presence_server.live.sweeper import Sweeper
from presence_server.settings import Settings
from presence_server.store import tasks
from presence_server.store.backends import open_backend
from presence_server.store.hold import Hold
from presence_server.store.link import Refused
from presence_server.store.operations.claim import AT_ONCE
from presence_server.store.scripts import GAP_MS, REDIS_TIME
from presence_server.store.store import Store
from presence_server.store.types import Claim, Page, Reply, Standing, standing_of
from tests.support.timing import SOON_S

TEAM: Final = "acme"

# What stores have unless told otherwise: the contract's defaults, but a shorter idle timeout, since it has to be passed
# in steps that are no gaps.
LEASE_MS: Final = 30_000
GRACE_MS: Final = 20_000
IDLE_MS: Final = 120_000
REMEMBER_MS: Final = 2_592_000_000

CLOCK_KEY: Final = "clock-of-the-test"
TEST_TIME: Final = (
    f"(function() local ms = redis.call('GET', '{CLOCK_KEY}') return "
    "{ math.floor(ms / 1000), ms % 1000 * 1000 } end)()"
)


class Clock:
    """The time for Redis and for stores alike; stands still unless moved.

    It moves by eighths of a second, which floats hold exactly.
    """

    STEP_MS: Final = 125

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.now_ms = 1_763_800_000_000
        self.move(0)

    def move(self, ms: int) -> None:
        """Let time pass."""
        assert ms % self.STEP_MS == 0
        self.now_ms += ms
        self._client.set(CLOCK_KEY, self.now_ms)

    def set_back(self, ms: int) -> None:
        """Redis's clock was set back; that of the workers goes on."""
        self._client.set(CLOCK_KEY, self.now_ms - ms)

    def follow(self, client: redis.Redis) -> None:
        """Another Redis tells this time from now on."""
        self._client = client
        self.move(0)

    def now_s(self) -> float:
        """The monotonic clock."""
        return self.now_ms / 1000

    def ago_s(self, ms: int) -> float:
        """The instant so long ago, as the monotonic clock has it."""
        return (self.now_ms - ms) / 1000


class Party:
    """One worker's store, and whose it is: it keeps the holds, and all that the store tells its worker.

    Attributes:
        holds: those that stand, by team, user and session.
        known_marks: the marks that its rosters stand for, by team.
        replies: every reply that was observed, with the team and the mark known when the call was sent.
        downs: why Redis was out of reach, each time.
        refusals: holds that may not stand.
        ended: user and session of those found to be signed out for good.
        lost: teams that were to be written back.
        stale: teams that Redis refused, and whether it does.
    """

    def __init__(self, url: str, settings: Settings, name: str | None = None, clock: Clock | None = None) -> None:
        self.holds: dict[tuple[str, str, str], Hold] = {}
        self.known_marks: dict[str, Mark] = {}
        self.replies: list[tuple[str, Reply, Mark]] = []
        self.downs: list[str] = []
        self.refusals: list[Hold] = []
        self.ended: list[tuple[str, str]] = []
        self.lost: list[str] = []
        self.stale: list[tuple[str, bool]] = []
        self.settings = settings
        self._tasks: set[asyncio.Task[Any]] = set()
        times: dict[str, Any] = {"redis_time": REDIS_TIME}
        if clock is not None:
            times = {"clock": clock.now_s, "redis_time": TEST_TIME}
        self.now_s: Callable[[], float] = times.get("clock", asyncio.get_running_loop().time)
        self.backend = open_backend(replace(settings, redis_url=url), self.now_s, times["redis_time"], 1)
        keys = self.backend.keys[0]
        link, scripts = self.backend.link(keys), self.backend.scripts
        self.store = Store(settings, link, scripts, keys, self, self._spawn, name=name, clock=self.now_s)
        self.counters = Counters()
        self.sweeper = Sweeper(self.store, self.counters)

    @property
    def name(self) -> str:
        """Under which it is in Redis."""
        return self.store.lease.name

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Party]:
        """Run it, alive and open, as after a recovery."""
        self._spawn(self.store.run())
        try:
            await self.beat()
            self.store.resume()
            yield self
        finally:
            await tasks.end(self._tasks)
            await self.backend.close()
        failures = [task.exception() for task in self._tasks if not task.cancelled()]
        assert not any(failures), failures

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    # --- whose store it is ------------------------------------------------------------------------------------------

    def known(self, team: str) -> Mark:
        return self.known_marks.get(team, NO_MARK)

    def observe(self, team: str, reply: Reply, known: Mark) -> None:
        self.replies.append((team, reply, known))

    def holds_of(self, team: str) -> list[Hold]:
        return [hold for hold in self.holds.values() if hold.team == team]

    def refused(self, hold: Hold) -> None:
        self.refusals.append(hold)
        self._end(hold)

    def session_ended(self, user: str, session: str) -> None:
        self.ended.append((user, session))
        for hold in list(self.holds.values()):
            if hold.key == (user, session):
                self._end(hold)

    async def signed_out(self, sessions: Sequence[tuple[str, str]]) -> list[bool]:
        return await self.store.reads.signed_out(sessions)

    async def write_back(self, team: str) -> None:
        self.lost.append(team)
        self.known_marks.pop(team, None)

    def out_of_reach(self, why: str) -> None:
        self.downs.append(why)

    def team_stale(self, team: str, stale: bool) -> None:
        self.stale.append((team, stale))

    def _end(self, hold: Hold) -> None:
        if not hold.ended:
            hold.ended = True
            del self.holds[hold.team, *hold.key]
            self.store.let_go(hold)

    # --- what happens to connections --------------------------------------------------------------------------------

    def connect(
        self, user: str = "maria", session: str = "s1", *, team: str = TEAM, idle_ms: int = 0, issued_at_s: float = 0.0
    ) -> Hold:
        """One more connection is there; nobody has been told of it."""
        key, active_s = (team, user, session), self.now_s() - idle_ms / 1000
        hold = self.holds.get(key)
        if hold is None:
            hold = self.holds[key] = Hold(*key, active_s)
        hold.connections += 1
        hold.is_new = True
        hold.active_s = max(hold.active_s, active_s)
        hold.issued_at_s = max(hold.issued_at_s, issued_at_s)
        return hold

    async def join(
        self, user: str = "maria", session: str = "s1", *, team: str = TEAM, idle_ms: int = 0, issued_at_s: float = 0.0
    ) -> str | None:
        """One more connection comes in; gives the chosen status, or None if it may not."""
        hold = self.connect(user, session, team=team, idle_ms=idle_ms, issued_at_s=issued_at_s)
        async with asyncio.timeout(SOON_S):
            _, chosen = await self.store.tell(hold)
        return chosen

    def lose(self, user: str = "maria", session: str = "s1", *, team: str = TEAM) -> None:
        """A connection is lost."""
        hold = self.holds[team, user, session]
        hold.connections -= 1
        if not hold.connections:
            del self.holds[team, user, session]
        self.store.let_go(hold)

    async def lost_for_good(self, user: str = "maria", session: str = "s1", *, team: str = TEAM) -> None:
        """A connection is lost, and Redis has been told."""
        self.lose(user, session, team=team)
        await self.flush()

    async def flush(self) -> None:
        """Wait until Redis has been told everything."""
        async with asyncio.timeout(SOON_S):
            await self.store.flush()

    async def choose(self, user: str, status: str, *, by: str | None = None, team: str = TEAM) -> Reply:
        """Somebody chooses: himself, unless `by` says who."""
        return await self.store.choose(team, user, status, user if by is None else by)

    async def log_out(self, user: str = "maria", session: str = "s1", *, team: str = TEAM) -> None:
        """A session ends by itself, in one team."""
        hold = self.holds.get((team, user, session))
        if hold is not None:
            self._end(hold)
        await self.store.sign_out(team, user, session, refuse_ms=600_000, by=user)

    # --- what is found ----------------------------------------------------------------------------------------------

    async def detail(self, user: str = "maria", team: str = TEAM) -> UserDetail:
        return (await self.store.reads.details(team, [user])).users[0]

    async def status(self, user: str = "maria", team: str = TEAM) -> tuple[str, str | None]:
        """What a user is shown as, and why."""
        found = await self.detail(user, team)
        return found.status, found.reason

    async def page(self, since: int = 0, team: str = TEAM) -> Page:
        return await self.store.reads.changes(team, since)

    async def standing(self, team: str = TEAM) -> Standing:
        [raw] = await self.store.reads.marks([team])
        assert not isinstance(raw, Refused)
        return standing_of(raw)

    # --- the beat, and sweeps ---------------------------------------------------------------------------------------

    async def beat(self, *, teams: int = 0, restoring: bool = False, sweeps: bool = True) -> Claim:
        """Say that it lives."""
        claim, _ = await self.store.vigil.beat(teams=teams, restoring=restoring, sweeps=sweeps)
        return claim

    async def sweep(self) -> list[str]:
        """Beat, and sweep all that is due; tells which teams were looked at."""
        looked_at: list[str] = []
        while True:
            claim = await self.beat(teams=AT_ONCE)
            await self.sweeper.sweep(claim)
            looked_at += [due.team for due in claim.due]
            if not claim.more:
                return looked_at


NewParty = Callable[..., Awaitable[Party]]


async def pass_time(clock: Clock, ms: int, *parties: Party) -> None:
    """Let time pass in which these workers beat, and nobody sweeps; so it is no gap."""
    while ms:
        step_ms = min(ms, GAP_MS)
        clock.move(step_ms)
        ms -= step_ms
        for party in parties:
            await party.beat()


async def becomes_true(found: Callable[[], object]) -> None:
    """Wait until `found()` is true."""
    async with asyncio.timeout(SOON_S):
        while not found():  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(0.002)


class Replica:
    """What a replica had of a team, to which a failover goes back."""

    def __init__(self, client: redis.Redis, base: str) -> None:
        self._client = client
        self._base = base
        self._kept = {key: client.dump(key) or b"" for key in client.scan_iter(f"{base}:*")}

    def fail_over(self) -> None:
        for key in self._client.scan_iter(f"{self._base}:*"):
            self._client.delete(key)
        for key, value in self._kept.items():
            self._client.restore(key, 0, value)
