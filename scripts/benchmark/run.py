"""Carries cases out: starts the sides of each scene and leads them through its phases."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmark import phases, sides
from benchmark.cases import Case, Effort, Scene
from benchmark.results import Results
from benchmark.sides import Side


class Run:
    """One run of the benchmark.

    Args:
        effort: how thorough.
        scale: how many times the users.
        old: another checkout, to be measured as well.
        folder: for logs.
        tell: is told what is going on.
    """

    def __init__(
        self, effort: Effort, scale: float, old: Path | None, folder: Path, tell: Callable[[str], None]
    ) -> None:
        self.results = Results()
        self._effort = effort
        self._scale = scale
        self._old = old
        self._folder = folder
        self._tell = tell

    def carry_out(self, cases: Iterable[Case]) -> None:
        """Measure some cases; if one fails, the figures of the others are worth having still."""
        for case in cases:
            try:
                for scene in case.scenes:
                    self._play(scene.fitted(self._effort, self._scale))
                if case.alone is not None:
                    case.alone(self.results, self._scale, self._tell)
            except (RuntimeError, OSError) as exc:
                self.results.failed(f"{case.name}: {exc}")

    def _play(self, scene: Scene) -> None:
        for turn in range(scene.rounds):
            self._tell(f"{scene.title}, round {turn + 1} of {scene.rounds}")
            with self._started(scene, turn) as started:
                for side in started:
                    phases.warm_up(side)
                for phase in scene.phases:
                    phase(started, scene, self.results)

    @contextlib.contextmanager
    def _started(self, scene: Scene, turn: int) -> Iterator[list[Side]]:
        """Start all sides; who comes first changes from turn to turn."""
        log = self._folder / "server.log"
        with contextlib.ExitStack() as stack:
            started = [stack.enter_context(sides.presence("presence", sides.HERE, log, scene.workers))]
            if self._old is not None:
                old_log = self._folder / "old.log"
                started.append(stack.enter_context(sides.presence("old", self._old, old_log, scene.workers)))
            if scene.plain:
                started.append(stack.enter_context(sides.plain(self._folder / "plain.log")))
            first = turn % len(started)
            yield started[first:] + started[:first]
