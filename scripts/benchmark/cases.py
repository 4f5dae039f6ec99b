"""The cases: which phases run, in which crowd, on which sides. Sides take turns, phase by phase."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmark import phases, scripts_case, sides
from benchmark.plan import LEASE_THIRD_S, Plan
from benchmark.results import Results
from benchmark.sides import Idle, Side
from benchmark.valkey import Valkey


class Run:
    """One run of the benchmark.

    Args:
        plan: how much.
        valkey: of the run.
        folder: for logs.
        tell: is told what is going on.
    """

    def __init__(self, plan: Plan, valkey: Valkey, folder: Path, tell: Callable[[str], None]) -> None:
        self.plan = plan
        self.results = Results()
        self._valkey = valkey
        self._folder = folder
        self._tell = tell
        self._idle: dict[tuple[str, int, str], Idle] = {}

    def attempt(self, case: Callable[[], None]) -> None:
        """Run a case; if it fails, the figures of the others are worth having still."""
        try:
            case()
        except (RuntimeError, OSError) as exc:
            self.results.failed(str(exc))

    def team(self) -> None:
        """One team of all: what everything costs, from scratch in each round."""
        self._team(self.plan, self.plan.rounds)

    def huge(self) -> None:
        """One team of very many, once; as many updates a second as the plain endpoint can take."""
        if not self.plan.huge_sockets:
            return
        plan = replace(
            self.plan,
            sockets=self.plan.huge_sockets,
            changes_per_s=max(1, self.plan.changes_per_s * self.plan.sockets // self.plan.huge_sockets // 2),
            lone_gap_s=1.5,
            load_s=6.0,
        )
        self._team(plan, 1)

    def growth(self) -> None:
        """As many sockets, in teams of several sizes."""
        for size in self.plan.team_sizes:
            self._compare(f"{_spelled(self.plan.sockets)} sockets in teams of {_spelled(size)}", size)

    def watch(self) -> None:
        """Everybody narrows his view to a few; the plain endpoint, which cannot, tells everybody everything."""
        if self.plan.watch:
            case = f"{_spelled(self.plan.sockets)} sockets in one team, each watching 50"
            self._compare(case, self.plan.sockets, watched=50)

    def wide(self) -> None:
        """Very many sockets in teams of several sizes, and watch lists in one team of all: the server alone."""
        if not self.plan.huge_sockets:
            return
        sockets = self.plan.huge_sockets
        for size in (1, 10, 100, 1_000):
            teams = f"teams of {_spelled(size)}" if size > 1 else "a team each"
            self._alone(f"{_spelled(sockets)} sockets in {teams}", size)
        self._alone(f"{_spelled(sockets)} sockets in one team, each watching 50", sockets, watched=50)

    def workers(self) -> None:
        """The team on two processes; the plain endpoint, which cannot, on one."""
        if self.plan.workers:
            case = f"{_spelled(self.plan.sockets)} sockets in one team, on two workers"
            self._compare(case, self.plan.sockets, workers=2)

    def redis(self) -> None:
        """How long the store's scripts take, without a server."""
        self._tell(f"Redis: scripts on a team of {_spelled(self.plan.stored_users)}")
        scripts_case.measure(self._valkey, self.plan, self.results)

    def _team(self, plan: Plan, rounds: int) -> None:
        case = f"{_spelled(plan.sockets)} sockets in one team"
        for turn in range(rounds):
            self._tell(f"{case}, round {turn + 1} of {rounds}")
            with self._both(turn) as both:
                for side in both:
                    side.gather("team", plan.sockets, plan.sockets)
                self._each(both, lambda side: phases.sign_in(side, plan, self.results, case))
                self._rest(both, plan, case)
                self._each(both, lambda side: phases.heartbeats(side, plan, self.results, case))
                self._each(both, lambda side: phases.fan_out(side, plan, self.results, case))
                self._each(both, lambda side: phases.lone(side, plan, self.results, case))
                self._each(both, lambda side: phases.storm(side, plan, self.results, case))
                self._each(both, lambda side: phases.reconnect(side, plan, self.results, case))

    def _compare(self, case: str, team_size: int, *, watched: int = 0, workers: int = 1) -> None:
        self._tell(case)
        with self._both(0, workers) as both:
            self._enter_and_change(both, self.plan, case, team_size, watched)

    def _alone(self, case: str, team_size: int, *, watched: int = 0) -> None:
        self._tell(case)
        plan = replace(self.plan, sockets=self.plan.huge_sockets, repeats=1)
        with sides.presence(self._valkey, self._folder) as side:
            phases.warm_up(side)
            self._enter_and_change([side], plan, case, team_size, watched)

    def _enter_and_change(self, crowds: list[Side], plan: Plan, case: str, team_size: int, watched: int) -> None:
        for side in crowds:
            side.gather("team", plan.sockets, team_size, 0 if side.plain else watched)
        self._each(crowds, lambda side: phases.sign_in(side, plan, self.results, case))
        self._rest(crowds, plan, case)
        for _ in range(plan.repeats):
            self._each(crowds, lambda side: phases.fan_out(side, plan, self.results, case))

    def _rest(self, both: list[Side], plan: Plan, case: str) -> None:
        """Measure what being idle takes, once in each case; of the plain endpoint, to which teams are nothing, once."""
        keys = {side.name: (side.name, plan.sockets, "" if side.plain else case) for side in both}
        fresh = [side for side in both if keys[side.name] not in self._idle]
        if fresh:
            seconds = plan.idle_s if any(side.plain for side in fresh) else min(plan.idle_s, LEASE_THIRD_S)
            phases.idle(fresh, replace(plan, idle_s=seconds), self.results, case)
            self._idle |= {keys[side.name]: side.idle for side in fresh}
        for side in both:
            side.idle = self._idle[keys[side.name]]

    @contextlib.contextmanager
    def _both(self, turn: int, workers: int = 1) -> Iterator[list[Side]]:
        """Start both sides, warmed up; who comes first changes from turn to turn."""
        with sides.presence(self._valkey, self._folder, workers) as ours, sides.plain(self._folder) as theirs:
            both = [ours, theirs] if turn % 2 == 0 else [theirs, ours]
            for side in both:
                phases.warm_up(side)
            yield both

    def _each(self, both: list[Side], phase: Callable[[Side], None]) -> None:
        for side in both:
            phase(side)


def _spelled(number: int) -> str:
    return f"{number:,}"
