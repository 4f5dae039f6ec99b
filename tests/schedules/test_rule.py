"""Section 2 of the contract as machines: whatever happens, in whatever order, people are told what the rule says.

In calm weather every status, its reason and its instant are compared with `Person`, which knows the contract and
nothing of how it is stored. In storms, in which answers get lost, workers stand still or die, Redis goes away, comes
back, and has forgotten something, the oracle says what never may happen, and in the end all must agree again.
"""

from __future__ import annotations

import os
from collections import defaultdict
from itertools import count
from typing import Any, ClassVar, Final

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from presence_server.core.status import OFFLINE
from tests.schedules.node import Tab
from tests.schedules.rule import NOTHING, Person, Told
from tests.schedules.world import GRACE_MS, LEASE_MS, World
from tests.support.valkey import Valkey

DEV: Any = {"phases": [Phase.generate], "report_multiple_bugs": False}
LONG: Final = bool(os.environ.get("PRESENCE_TEST_LONG"))

IDLE_MS: Final = 7_000
STEP_MS: Final = 250

SLOTS: Final = st.sampled_from("ab")
USERS: Final = st.sampled_from(["u", "v"])
SESSIONS: Final = st.sampled_from(["s", "z"])
STATUSES: Final = st.sampled_from(["online", "busy"])
AGO_MS: Final = st.sampled_from([0, 0, 2_000, 8_000])


class Machine(RuleBasedStateMachine):
    """A world, and its end."""

    valkey: ClassVar[Valkey]
    prefix: ClassVar[str]
    names: ClassVar[Any] = count()
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.valkey, f"{self.prefix}-{next(self.names)}", idle_ms=IDLE_MS, **self.options)

    def teardown(self) -> None:
        self.world.close()


class Calm(Machine):
    """Nothing goes wrong but crashes of workers."""

    def __init__(self) -> None:
        super().__init__()
        self.people: defaultdict[str, Person] = defaultdict(Person)
        self.tabs: list[Tab] = []
        self.timeout, self.set_at = IDLE_MS, 0

    @property
    def now(self) -> int:
        return self.world.time.now_ms

    def happened(self, user: str, cause: str) -> None:
        self.people[user].happened(self.now, self.timeout, self.set_at, cause)

    @rule(slot=SLOTS, user=USERS, session=SESSIONS, ago_ms=AGO_MS)
    def connect(self, slot: str, user: str, session: str, ago_ms: int) -> None:
        person = self.people[user]
        tab = self.world.open(slot, user, session, idle_ms=ago_ms)
        assert tab is not None
        self.world.run("a", "b")
        if session in person.refused:
            assert tab.code == 4506
            return
        assert tab.open
        self.tabs.append(tab)
        person.tabs[slot, session] = person.tabs.get((slot, session), 0) + 1
        person.active = max(person.active, self.now - ago_ms)
        self.happened(user, "signed_in")

    @rule(slot=SLOTS, user=USERS, session=SESSIONS)
    def lose(self, slot: str, user: str, session: str) -> None:
        person = self.people[user]
        self.world.lose(slot, user, session)
        self.world.run("a", "b")
        if person.tabs.get((slot, session)):
            person.tabs[slot, session] -= 1
            if not person.tabs[slot, session]:
                del person.tabs[slot, session]
                person.forgiven = max(person.forgiven, self.now + GRACE_MS)

    @rule(slot=SLOTS, user=USERS, session=SESSIONS, ago_ms=AGO_MS)
    def input(self, slot: str, user: str, session: str, ago_ms: int) -> None:
        person = self.people[user]
        self.world.input(slot, user, session, ago_ms)
        self.world.run("a", "b")
        if (slot, session) in person.tabs:
            person.active = max(person.active, self.now - ago_ms)
            self.happened(user, "active")

    @rule(slot=SLOTS, user=USERS, status=STATUSES, by=st.sampled_from(["", "boss"]))
    def choose(self, slot: str, user: str, status: str, by: str) -> None:
        self.world.choose(slot, user, status, by)
        self.world.run("a", "b")
        person = self.people[user]
        person.chosen = status
        if not by:
            person.active = self.now
        self.happened(user, "forced" if by else "chosen")

    @rule(slot=SLOTS, user=USERS, session=SESSIONS)
    def logout(self, slot: str, user: str, session: str) -> None:
        person = self.people[user]
        if (slot, session) in person.tabs:
            self.world.logout(slot, user, session)
            self.world.run("a", "b")
            person.refused.add(session)
            person.tabs = {key: number for key, number in person.tabs.items() if key[1] != session}
            person.forgiven = 0
            self.happened(user, "signed_out")

    @rule(slot=SLOTS, user=USERS, forced=st.booleans())
    def sign_out(self, slot: str, user: str, forced: bool) -> None:
        person = self.people[user]
        self.world.sign_out(slot, user, by="boss" if forced else user)
        self.world.run("a", "b")
        person.refused |= {session for _, session in person.tabs}
        person.tabs, person.forgiven = {}, 0
        self.happened(user, "forced" if forced else "signed_out")

    @rule(slot=SLOTS, timeout=st.sampled_from([3_000, IDLE_MS, 20_000]))
    def configure(self, slot: str, timeout: int) -> None:
        self.world.configure(slot, idle_timeout_ms=timeout)
        self.world.run("a", "b")
        if timeout != self.timeout:
            self.timeout, self.set_at = timeout, self.now
            for user in [*self.people]:
                if self.people[user].told.status == OFFLINE:
                    self.happened(user, "settings")

    @rule(slot=SLOTS)
    def crash(self, slot: str) -> None:
        name = self.world.nodes[slot].name
        self.world.crash(slot)
        self.world.start(slot)
        for person in self.people.values():
            lost = [key for key in person.tabs if key[0] == slot]
            if lost:
                # The grace counts from the last renewal, and ends no sooner than the lease (rule 6).
                person.forgiven = max(person.forgiven, self.world.oracle.word_of(name))
                person.tabs = {key: number for key, number in person.tabs.items() if key not in lost}
        self.world.advance(STEP_MS * 4)

    @rule(steps=st.integers(1, 14))
    def pass_time(self, steps: int) -> None:
        for _ in range(steps):
            self.world.advance(STEP_MS)
            self.compare()

    @invariant()
    def compare(self) -> None:
        self.world.oracle.look()
        for user, person in self.people.items():
            found = self.world.oracle.stored("t", user)
            told = Told(found.status, found.since_ms, found.reason) if found else NOTHING
            person.check(told, self.now, self.timeout, self.set_at)
            assert found is None or found.chosen == person.chosen

    @invariant()
    def details_tell_what_comes_next(self) -> None:
        for user, person in self.people.items():
            detail = self.world.detail("b", "t", user)
            if detail.chosen is not None:
                assert (detail.status, detail.chosen) == (person.told.status, person.chosen)


class Storm(Machine):
    """Everything goes wrong that may."""

    options: ClassVar[dict[str, Any]] = {"keep": True}

    @rule(slot=SLOTS, user=USERS, session=SESSIONS)
    def open(self, slot: str, user: str, session: str) -> None:
        self.world.open(slot, user, session)

    @rule(slot=SLOTS, user=USERS, session=SESSIONS)
    def lose(self, slot: str, user: str, session: str) -> None:
        self.world.lose(slot, user, session)

    @rule(slot=SLOTS, user=USERS, session=SESSIONS)
    def input(self, slot: str, user: str, session: str) -> None:
        self.world.input(slot, user, session)

    @rule(slot=SLOTS, user=USERS, session=SESSIONS)
    def logout(self, slot: str, user: str, session: str) -> None:
        self.world.logout(slot, user, session)

    @rule(slot=SLOTS, user=USERS)
    def sign_out(self, slot: str, user: str) -> None:
        self.world.sign_out(slot, user)

    @rule(slot=SLOTS, user=USERS, status=STATUSES)
    def choose(self, slot: str, user: str, status: str) -> None:
        self.world.choose(slot, user, status)

    @rule(slot=SLOTS)
    def run_one(self, slot: str) -> None:
        self.world.run(slot)

    @rule(ticks=st.integers(1, 4))
    def tick(self, ticks: int) -> None:
        self.world.tick(ticks)

    @rule(ticks=st.integers(1, LEASE_MS // 1000 + 1))
    def jump(self, ticks: int) -> None:
        self.world.jump(ticks)

    @rule(
        slot=SLOTS,
        fate=st.sampled_from(["cut", "halve", "lose", "straggle", "hold"]),
        operation=st.sampled_from(["hold", "choose", "sign_out", "enlist", "claim", "sweep", "drop", "part", "touch"]),
    )
    def doom(self, slot: str, fate: Any, operation: str) -> None:
        self.world.nodes[slot].wire.doom(fate, operation)

    @rule(slot=SLOTS)
    def arrive(self, slot: str) -> None:
        wire = self.world.nodes[slot].wire
        wire.release()
        if wire.late:
            wire.arrive_late()

    @rule(slot=SLOTS)
    def stop(self, slot: str) -> None:
        self.world.stop(slot)

    @rule(slot=SLOTS)
    def go_on(self, slot: str) -> None:
        self.world.cont(slot)

    @rule(slot=SLOTS)
    def crash(self, slot: str) -> None:
        self.world.crash(slot)
        self.world.start(slot)

    @rule(slot=SLOTS)
    def cut_off(self, slot: str) -> None:
        self.world.cut_off(slot)

    @rule()
    def down(self) -> None:
        self.world.down()

    @rule()
    def up(self) -> None:
        self.world.up()

    @rule(slot=SLOTS)
    def cut_subscription(self, slot: str) -> None:
        self.world.nodes[slot].wire.cut_subscription()

    @rule(writes=st.integers(1, 4), silent=st.booleans())
    def fail_over(self, writes: int, silent: bool) -> None:
        self.world.forget(writes, silent=silent)

    def teardown(self) -> None:
        try:
            self.world.oracle.settle()
        finally:
            super().teardown()


@pytest.mark.parametrize(("machine", "examples", "steps"), [(Calm, 30, 20), (Storm, 40, 25)])
def test_the_rule(
    machine: type[Machine],
    examples: int,
    steps: int,
    shared_valkey: Valkey,
    key_prefix: str,
) -> None:
    class Run(machine):  # type: ignore[misc, valid-type]
        pass

    Run.valkey, Run.prefix = shared_valkey, key_prefix
    run_state_machine_as_test(
        Run,
        settings=settings(
            max_examples=examples * (20 if LONG else 1),
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **DEV,
        ),
    )
