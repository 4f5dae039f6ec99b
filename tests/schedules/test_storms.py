"""Everything at once that may go wrong: answers get lost, workers stand still or die, Redis goes, comes, and forgets.

The oracle says what may never happen meanwhile; in the end all must agree again, and nothing may be left over.
"""

from __future__ import annotations

from typing import Any, ClassVar

import hypothesis.strategies as st
from hypothesis.stateful import rule

from tests.schedules.machine import SESSIONS, SLOTS, STATUSES, USERS, Machine, run
from tests.schedules.world import LEASE_S
from tests.support.valkey import Valkey


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

    @rule(ticks=st.integers(1, LEASE_S + 1))
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
            self.world.settle()
        finally:
            super().teardown()


def test_storms(shared_valkey: Valkey, key_prefix: str) -> None:
    run(Storm, shared_valkey, key_prefix, examples=12, steps=25)
