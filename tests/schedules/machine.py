"""What the machines have in common that drive a world at random."""

from __future__ import annotations

from itertools import count
from typing import Any, ClassVar, Final

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.schedules.world import World
from tests.support import budget
from tests.support.valkey import Valkey

IDLE_MS: Final = 7_000

SLOTS: Final = st.sampled_from("ab")
USERS: Final = st.sampled_from(["u", "v"])
SESSIONS: Final = st.sampled_from(["s", "z"])
STATUSES: Final = st.sampled_from(["online", "busy"])


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


def run(machine: type[Machine], valkey: Valkey, prefix: str, *, examples: int, steps: int) -> None:
    """Try what may happen, `steps` things at a time."""
    options = {"valkey": valkey, "prefix": prefix}
    run_state_machine_as_test(
        type(machine.__name__, (machine,), options),
        settings=settings(
            max_examples=budget.examples(examples),
            stateful_step_count=steps,
            report_multiple_bugs=False,
            # To shrink what was found takes minutes: that is for those who have them.
            phases=[*Phase] if budget.LONG else [Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
