"""Carries cases out: starts the sides of each scene and leads them through its phases."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmark import phases, sides
from benchmark.cases import Case, Effort, Scene
from benchmark.results import Results
from tests.support.worker import ROOT


def carry_out(
    cases: Iterable[Case], effort: Effort, scale: float, old: Path | None, folder: Path, tell: Callable[[str], None]
) -> Results:
    """Measure some cases; if one fails, the figures of the others are worth having still.

    Args:
        cases: which.
        effort: how thoroughly.
        scale: with how many times the users.
        old: another checkout, to be measured as well.
        folder: for logs.
        tell: is told what is going on.
    """
    results = Results()
    for case in cases:
        try:
            for scene in case.scenes:
                _play(scene.fitted(effort, scale), old, folder, results, tell)
            if case.alone is not None:
                case.alone(results, scale, old, tell)
        except Exception as exc:
            results.failed(f"{case.name}: {exc!r}")
    return results


def _play(scene: Scene, old: Path | None, folder: Path, results: Results, tell: Callable[[str], None]) -> None:
    for turn in range(scene.rounds):
        tell(f"{scene.title}, round {turn + 1} of {scene.rounds}")
        with contextlib.ExitStack() as stack:
            contexts = [sides.presence("presence", ROOT, folder, scene.workers)]
            if old is not None:
                contexts.append(sides.presence("old", old, folder, scene.workers))
            if scene.plain:
                contexts.append(sides.plain(folder))
            started = [stack.enter_context(context) for context in contexts]
            # Who comes first changes from turn to turn.
            first = turn % len(started)
            started = started[first:] + started[:first]
            for side in started:
                phases.warm_up(side)
            for phase in scene.phases:
                phase(started, scene, results)
