"""Section 2 of the contract as a machine: whatever happens, in whatever order, Redis tells what the rule says.

Two workers, their connections and their sweeps, choices, signs-out, settings, crashes and time are driven at random,
against real scripts on a real Valkey. What must come out is said by `Person`, which knows the contract and nothing of
how it is stored.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from presence_server.store.direct import CLAIM_MS

from presence_server.core.roster import Change
from presence_server.core.status import OFFLINE, UserDetail
from presence_server.live.counters import Counters
from presence_server.live.sweeper import Sweeper
from presence_server.settings import Settings
from tests.store.rule import Person, Told
from tests.store.support import TEAM, Clock, Ear, Party
from tests.support.valkey import Valkey

LEASE_MS: Final = 6_000
GRACE_MS: Final = 3_000
IDLE_MS: Final = 5_000
SWEEP_MS: Final = 500
# Longer than a worker needs to notice, as in production: it renews every third of the lease.
REFUSE_MS: Final = 4_000

USERS: Final = ("maria", "__proto__")
USER = st.sampled_from(USERS)
SESSION = st.sampled_from(["s1", "a:b@c"])
# Deadlines are most interesting when they are near.
AGO_MS = st.sampled_from([0, 0, 125, 3_875, 4_000, 4_875, 5_000, 20_000])
STEPS = st.one_of(
    st.integers(1, 4),
    st.integers(1, 60),
    st.sampled_from([GRACE_MS, GRACE_MS + 125, LEASE_MS]).map(lambda ms: ms // 125),
)


@dataclass
class Hold:
    """What a worker believes to hold of a session; `told` when it knows that the session was signed out."""

    connections: int
    issued_at_s: int
    told: bool = False


class WorkerModel:
    """One worker: its store, its sweeper and its holds."""

    def __init__(self, party: Party, phase: int) -> None:
        self.party = party
        self.name = party.worker
        self.store = party.store
        self.sweeper = Sweeper(party.store, LEASE_MS, Counters(), lambda claim: None)
        self.holds: dict[tuple[str, str], Hold] = {}
        self.asleep = False
        # Workers do not keep step.
        self.phase = phase


OPERATIONS = st.one_of(
    st.tuples(st.just("connect"), USER, SESSION, AGO_MS, st.sampled_from(["now", "early", "none"])),
    st.tuples(st.just("lose"), USER, SESSION),
    st.tuples(st.just("renew"), USER, SESSION, st.none() | AGO_MS),
    st.tuples(st.just("restate"), USER, SESSION, AGO_MS),
    st.tuples(st.just("choose"), USER, st.sampled_from(["online", "busy"]), st.booleans()),
    st.tuples(st.just("sign_out"), USER, SESSION | st.just(""), st.booleans()),
)


class Rule(RuleBasedStateMachine):
    """Drives two workers."""

    runner: asyncio.Runner
    valkey: Valkey
    client: redis.Redis
    clock: Clock
    runs = count()

    @initialize()
    def start(self) -> None:
        self.stack = ExitStack()
        self.prefix = f"rule-{next(self.runs)}"
        self.settings = Settings(
            redis_url=self.valkey.url,
            key_prefix=self.prefix,
            lease_ttl_ms=LEASE_MS,
            disconnect_grace_ms=GRACE_MS,
            idle_timeout_ms=IDLE_MS,
        )
        self.ear = Ear(self.client, f"{self.prefix}:{{{TEAM}}}:feed")
        self.stack.callback(self.ear.close)
        self.people: defaultdict[str, Person] = defaultdict(Person)
        self.timeout, self.set_at = IDLE_MS, 0
        self.fold: dict[str, Change] = {}
        self.epoch, self.version, self.tip = "", 0, ""
        self.names = count()
        self.workers = [self.new_worker(phase) for phase in (0, 125)]

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    # --- helpers ----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        return self.clock.now_ms

    def run(self, work: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await asyncio.wait_for(work, 10.0)

        return self.runner.run(wait())

    def new_worker(self, phase: int) -> WorkerModel:
        worker = WorkerModel(Party.of(self.valkey.url, self.settings, f"w{next(self.names)}"), phase)
        running = worker.party.running()
        self.run(running.__aenter__())
        self.stack.callback(lambda: self.run(running.__aexit__(None, None, None)))
        self.run(worker.store.claim(teams=0))
        return worker

    def look(self, users: Iterable[str], cause: str | None = None) -> None:
        for user in users:
            self.people[user].look(self.now, self.timeout, self.set_at, cause)

    # --- what the world does ------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), operations=st.lists(OPERATIONS, min_size=1, max_size=5))
    def turn(self, which: int, operations: list[Any]) -> None:
        """Several things in one turn of a worker's loop, which travel together."""
        worker = self.workers[which]
        if not worker.asleep:
            # Of several choices in one turn the newest counts for those before it.
            choices: set[tuple[Any, ...]] = set()
            for operation in [operation for operation in operations if operation[0] == "choose"]:
                key = (operation[1], operation[3])
                if key in choices:
                    operations.remove(operation)
                choices.add(key)
            self.together(getattr(self, kind)(worker, *arguments) for kind, *arguments in operations)

    def together(self, work: Iterable[Awaitable[Any] | None]) -> None:
        """Ask for everything in one turn of the loop, and wait for all answers."""

        async def ask() -> None:
            await asyncio.gather(*[item for item in work if item is not None])

        self.run(ask())

    @rule(steps=STEPS)
    def pass_time(self, steps: int) -> None:
        for _ in range(steps):
            self.clock.move(Clock.STEP_MS)
            for worker in self.workers:
                if worker.asleep:
                    continue
                if (self.now + worker.phase) % (LEASE_MS // 3) == 0:
                    self.renew_all(worker)
                if (self.now + worker.phase) % SWEEP_MS == 0:
                    self.sweep(worker)

    @rule(timeout=st.sampled_from([1_000, IDLE_MS, 9_000]), which=st.integers(0, 1))
    def configure(self, timeout: int, which: int) -> None:
        async def set_timeout() -> None:
            reply = await store.configure(TEAM, timeout)
            assert reply.idle_timeout_ms == timeout
            cursor: int | None = 0
            while cursor is not None:
                cursor = await store.settle(TEAM, cursor)

        store = self.workers[which].store
        self.run(set_timeout())
        self.timeout, self.set_at = timeout, self.now
        self.look(list(self.people))

    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        self.workers[which] = self.new_worker(self.workers[which].phase)

    @precondition(lambda self: not any(worker.asleep for worker in self.workers))
    @rule(which=st.integers(0, 1))
    def fall_asleep(self, which: int) -> None:
        self.workers[which].asleep = True

    @precondition(lambda self: any(worker.asleep for worker in self.workers))
    @rule()
    def wake_up(self) -> None:
        for worker in self.workers:
            if worker.asleep:
                worker.asleep = False
                self.renew_all(worker)

    @rule(which=st.integers(0, 1))
    def crash_in_the_middle_of_a_sweep(self, which: int) -> None:
        """What a dead sweeper had claimed is swept by another as soon as the claim is over."""
        self.run(self.workers[which].store.claim())
        self.clock.move(CLAIM_MS)
        for worker in self.workers:
            if not worker.asleep:
                self.renew_all(worker)
                self.sweep(worker)

    # --- one thing each: to the model at once, to Redis when awaited --------------------------------------------------

    def connect(self, worker: WorkerModel, user: str, session: str, ago_ms: int, iat: str) -> Awaitable[None]:
        hold = worker.holds.get((user, session))
        if hold is None or hold.told:
            hold = worker.holds[user, session] = Hold(0, 0)
        hold.connections += 1
        now_s = self.now // 1000
        hold.issued_at_s = max(hold.issued_at_s, {"now": now_s, "early": now_s - 3, "none": 0}[iat])
        return self.join(worker, user, session, hold, ago_ms, "signed_in")

    def join(
        self, worker: WorkerModel, user: str, session: str, hold: Hold, ago_ms: int, cause: str
    ) -> Awaitable[None]:
        person = self.people[user]
        welcome = person.refused.get(session, 0) <= self.now and hold.issued_at_s >= person.not_before
        if welcome:
            person.seen = True
            person.active = max(person.active, self.now - ago_ms)
            person.open[worker.name, session] = (self.now + LEASE_MS, hold.connections)
            self.look([user], cause)
        else:
            del worker.holds[user, session]
        expected = person.chosen if welcome else None
        future = worker.store.join(
            TEAM, user, session, hold.connections, self.clock.ago_s(ago_ms), float(hold.issued_at_s)
        )

        async def joined() -> None:
            reply, chosen = await future
            assert chosen == expected
            assert reply.now_ms == self.now

        return joined()

    def lose(self, worker: WorkerModel, user: str, session: str) -> Awaitable[Any] | None:
        hold = worker.holds.get((user, session))
        if hold is None:
            return None
        hold.connections -= 1
        if not hold.connections:
            del worker.holds[user, session]
        person = self.people[user]
        until = self.word_ends(worker, user, session)
        # A worker whose word has run out counts as dead: there is nothing left to forgive.
        if until > self.now:
            if hold.connections:
                person.open[worker.name, session] = (until, hold.connections)
            else:
                del person.open[worker.name, session]
                person.forgiven.append((session, self.now + GRACE_MS))
            self.look([user])
        return worker.store.leave(TEAM, user, session, hold.connections)

    def renew(self, worker: WorkerModel, user: str, session: str, ago_ms: int | None) -> Awaitable[None] | None:
        hold = worker.holds.get((user, session))
        if hold is None:
            return None
        person = self.people[user]
        until = self.word_ends(worker, user, session)
        gone = "signed_out" if person.refused.get(session, 0) > self.now else "expired" if until <= self.now else None
        if gone is None:
            newer = ago_ms is not None and self.now - ago_ms > person.active
            if ago_ms is not None:
                person.active = max(person.active, self.now - ago_ms)
            person.open[worker.name, session] = (self.now + LEASE_MS, hold.connections)
            self.look([user], "active" if newer else None)
        elif gone == "signed_out" or hold.told:
            del worker.holds[user, session]
        future = worker.store.renew(
            TEAM, user, session, hold.connections, None if ago_ms is None else self.clock.ago_s(ago_ms)
        )

        async def renewed() -> None:
            assert await future == gone

        return renewed()

    def renew_all(self, worker: WorkerModel) -> None:
        """What a worker does every third of a lease, and what it does about those that are gone."""
        self.together(self.renew(worker, *key, None) for key in list(worker.holds))
        self.together(
            self.join(worker, user, session, hold, 20_000, "signed_in")
            for (user, session), hold in list(worker.holds.items())
            if self.word_ends(worker, user, session) <= self.now
        )

    def word_ends(self, worker: WorkerModel, user: str, session: str) -> int:
        """Until when the word of a worker for a session lasts."""
        return self.people[user].open.get((worker.name, session), (0, 0))[0]

    def restate(self, worker: WorkerModel, user: str, session: str, ago_ms: int) -> Awaitable[None] | None:
        """What a worker does when Redis was out of reach."""
        hold = worker.holds.get((user, session))
        person = self.people[user]
        if hold is None or hold.told or person.refused.get(session, 0) > self.now:
            return None
        until = self.word_ends(worker, user, session)
        return self.join(worker, user, session, hold, ago_ms, "active" if until > self.now else "signed_in")

    def choose(self, worker: WorkerModel, user: str, status: str, by_admin: bool) -> Awaitable[Any]:
        person = self.people[user]
        person.seen = True
        person.chosen = status
        if not by_admin:
            person.active = self.now
        self.look([user], "forced" if by_admin else "chosen")
        return worker.store.choose(TEAM, user, status, by_admin=by_admin)

    def sign_out(self, worker: WorkerModel, user: str, session: str, forced: bool) -> Awaitable[Any] | None:
        person = self.people[user]
        self.look([user])
        till = self.now + REFUSE_MS
        held = {name for (_, name), (until, _) in person.open.items() if until > self.now}
        held |= {name for name, until in person.forgiven if until > self.now}
        leases = {name for _, name in person.open} | {name for name, _ in person.forgiven}
        if not session and leases != held:
            # Whether one that is over since long may come back is nobody's business.
            return None
        for name in [session] if session else held:
            person.refused[name] = till
        if forced:
            person.not_before = self.now // 1000
        person.forgiven.clear()
        person.open = {key: value for key, value in person.open.items() if session and key[1] != session}
        if person.held_until() <= self.now and person.told.status != OFFLINE:
            person.told = Told(OFFLINE, self.now, "forced" if forced else "signed_out")
        for each in self.workers:
            for (owner, name), hold in list(each.holds.items()):
                if owner == user and (not session or name == session):
                    hold.told = True
                    if each is worker:
                        del each.holds[owner, name]
        return worker.store.sign_out(TEAM, user, session, refuse_ms=REFUSE_MS, by_admin=forced)

    def sweep(self, worker: WorkerModel) -> None:
        self.run(worker.sweeper.sweep())
        self.look(list(self.people))
        self.read_back()
        for user, person in self.people.items():
            told = self.fold[user].status if user in self.fold else OFFLINE
            assert told == person.status(self.now, self.timeout), f"{user} after a sweep"

    # --- what must be so ----------------------------------------------------------------------------------------------

    @invariant()
    def redis_tells_what_the_rule_says(self) -> None:
        self.read_back()
        page = self.run(self.workers[0].store.changes(TEAM, 0))
        # Who has chosen without ever having been there is soon forgotten again.
        lasting = {user: change for user, change in self.fold.items() if change.since}
        assert {change.user: change for change in page.changes if change.since} == lasting
        assert (page.mark.version, page.idle_timeout_ms) == (self.version, self.timeout)
        if self.version:
            assert (page.mark.epoch, page.mark.tip) == (self.epoch, self.tip)
        for user, person in self.people.items():
            change = self.fold.get(user)
            if change is not None:
                assert Told(change.status, change.since, change.reason) == person.told, user
                assert change.chosen == person.chosen
            else:
                assert person.told.status == OFFLINE
            if person.told.status == OFFLINE:
                assert person.status(self.now, self.timeout) == OFFLINE, f"{user} was offline before the deadline"

    @invariant()
    def details_tell_what_comes_next(self) -> None:
        _, _, details = self.run(self.workers[1].store.details(TEAM, USERS))
        for user in USERS:
            assert details[user] == self.expected_detail(user, self.people[user])

    def expected_detail(self, user: str, person: Person) -> UserDetail:
        if not person.seen:
            return UserDetail(user, OFFLINE)
        connections = sum(number for until, number in person.open.values() if until > self.now)
        idles_at, held_until = person.active + self.timeout, person.held_until()
        comes: tuple[str | None, int | None] = ("disconnected", held_until)
        if connections or idles_at <= held_until:
            comes = ("idle", idles_at)
        if person.told.status == OFFLINE:
            comes = (None, None)
        status, since, reason = person.told
        return UserDetail(
            user, status, since or None, reason or None, person.chosen, person.active or None, connections, *comes
        )

    def read_back(self) -> None:
        """Every change is published exactly once, with a version of its own, in order."""
        for message in self.ear.heard():
            changes = [Change(*change) for change in message.get("changes", ())]
            extra = {"signed_out", "idle_ms"} & message.keys()
            assert changes or extra
            assert message["previous"] == self.version
            assert message["version"] == self.version + (len(changes) or 1)
            assert message["epoch"] == (self.epoch or message["epoch"])
            self.epoch = message["epoch"]
            self.tip = message["tip"]
            for change in changes:
                self.version += 1
                assert change.version == self.version
                before = self.fold.get(change.user)
                assert before is None or before[2:] != change[2:], "the same was told twice"
                self.fold[change.user] = change
            self.version = message["version"]


def test_the_rule(shared_valkey: Valkey, client: redis.Redis, clock: Clock) -> None:
    with asyncio.Runner() as runner:

        class Run(Rule):
            pass

        Run.runner, Run.valkey, Run.client, Run.clock = runner, shared_valkey, client, clock
        run_state_machine_as_test(
            Run,
            settings=settings(
                max_examples=80,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )
