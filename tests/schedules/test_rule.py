"""Section 2 of the contract as a machine: whatever happens, in whatever order, people are told what the rule says.

Every status, its reason and its instant are compared with `Person`, which knows the contract and nothing of how it is
stored. The weather is calm: but for crashes, nothing goes wrong.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import hypothesis.strategies as st
from hypothesis.stateful import invariant, rule

from presence_server.core.status import OFFLINE
from tests.schedules.machine import IDLE_MS, SESSIONS, SLOTS, STATUSES, USERS, Machine, run
from tests.schedules.rule import NOTHING, NOTICED_MS, Person, Told
from tests.schedules.world import GRACE_MS
from tests.support.valkey import Valkey

STEP_MS: Final = 250

AGO_MS: Final = st.sampled_from([0, 0, 2_000, 8_000])


class Calm(Machine):
    """Nothing goes wrong but crashes of workers."""

    def __init__(self) -> None:
        super().__init__()
        self.people: defaultdict[str, Person] = defaultdict(Person)
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
        assert tab.open, tab.code
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
        if (slot, session) in person.tabs and not person.is_unsure(self.now):
            self.world.logout(slot, user, session)
            self.world.run("a", "b")
            person.refused.add(session)
            person.dying.pop(session, None)
            person.tabs = {key: number for key, number in person.tabs.items() if key[1] != session}
            person.forgiven = 0
            self.happened(user, "signed_out")

    @rule(slot=SLOTS, user=USERS, forced=st.booleans())
    def sign_out(self, slot: str, user: str, forced: bool) -> None:
        person = self.people[user]
        if person.is_unsure(self.now):
            return
        self.world.sign_out(slot, user, by="boss" if forced else user)
        self.world.run("a", "b")
        person.sign_out(self.now)
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
                until = self.world.oracle.word_of(name)
                person.dying |= dict.fromkeys([session for _, session in lost], until)
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
            found = self.world.stored("t", user)
            told = Told(found.status, found.since_ms, found.reason) if found else NOTHING
            person.check(told, self.now, self.timeout, self.set_at)
            assert found is None or found.chosen == person.chosen

    @invariant()
    def details_tell_what_comes_next(self) -> None:
        for user, person in self.people.items():
            detail = self.world.detail("b", "t", user)
            if detail.chosen is None:
                continue
            assert (detail.status, detail.chosen) == (person.told.status, person.chosen)
            deadline, _ = person.deadline(self.timeout, self.set_at)
            if any(until + NOTICED_MS > self.now for until in person.dying.values()):
                continue
            assert detail.connections == sum(person.tabs.values())
            if person.told.status != OFFLINE and deadline > self.now:
                assert detail.next_change == OFFLINE
                # As far as Redis has been told of his input.
                assert detail.next_change_at is not None
                assert detail.next_change_at <= deadline


def test_the_rule(shared_valkey: Valkey, key_prefix: str) -> None:
    run(Calm, shared_valkey, key_prefix, examples=30, steps=20)
