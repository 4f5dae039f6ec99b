"""The cases, as data: who is there, in which teams, on which sides, and what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Final

from benchmark import cluster_cases, phases, scripts, store_cases
from benchmark.phases import Phase
from benchmark.results import Results


class Effort(IntEnum):
    """How much is measured when nobody says what."""

    QUICK = 1
    DEFAULT = 2
    LARGE = 3


@dataclass(frozen=True, slots=True)
class Scene:
    """One crowd, and what happens to it, phase by phase, on one side after the other.

    Attributes:
        phases: what happens.
        sockets: how many, each a user of its own.
        team_size: how many of them share a team; 0 for one team of all.
        watched: how many users each one narrows its view to; 0 for all. The plain endpoint cannot.
        workers: processes of the server. The plain endpoint has one.
        plain: whether the plain endpoint is measured, too.
        rounds: how often all starts from scratch; medians are taken over them.
        repeats: how often the load of changes is measured in each round.
        connects_per_s: how fast sockets come when they do not come all at once.
        heartbeats_per_s: over all sockets, where everybody beats.
        changes_per_s: where many change.
        load_s: how long heartbeats and changes last, each.
        lone_changes, lone_gap_s: how many single changes, and the quiet before each, well above the coalescing window.
        idle_s: how long nothing happens: in 20 s both sides ping every socket once.
        work_s: how long everybody is at work: in 75 s the server tells Redis once of everybody's input.
    """

    phases: tuple[Phase, ...]
    sockets: int = 1_000
    team_size: int = 0
    watched: int = 0
    workers: int = 1
    plain: bool = True
    rounds: int = 1
    repeats: int = 1
    connects_per_s: float = 500
    heartbeats_per_s: float = 2_000
    changes_per_s: float = 100
    load_s: float = 3.0
    lone_changes: int = 6
    lone_gap_s: float = 0.7
    idle_s: float = 20.0
    work_s: float = 75.0

    @property
    def title(self) -> str:
        """What figures are listed under."""
        shape = {0: "in one team", 1: "in a team each"}.get(self.team_size, f"in teams of {self.team_size:,}")
        watching = f", each watching {self.watched}" if self.watched else ""
        return f"{self.sockets:,} sockets {shape}{watching}" + (", on two workers" if self.workers > 1 else "")

    def fitted(self, effort: Effort, scale: float) -> Scene:
        """The scene with so many times the sockets, and, for a quick look, less of everything else."""
        scaled = replace(self, sockets=max(50, round(self.sockets * scale)))
        if effort > Effort.QUICK:
            return scaled
        return replace(scaled, rounds=1, repeats=1, load_s=2.0, lone_changes=4, idle_s=10.0, work_s=25.0)


@dataclass(frozen=True, slots=True)
class Case:
    """What can be asked for by name.

    Attributes:
        name: the word.
        about: a line for people.
        effort: the least one that contains it.
        scenes: what it consists of.
        alone: what it does besides, without a server: gets results, how many times the users, the other checkout, and
            who is told.
    """

    name: str
    about: str
    effort: Effort
    scenes: tuple[Scene, ...] = ()
    alone: Callable[[Results, float, Path | None, Callable[[str], None]], None] | None = None


_EVERYTHING: Final = (
    phases.sign_in,
    phases.rest,
    phases.heartbeats,
    phases.changes,
    phases.lone_changes,
    phases.storm,
    phases.reconnect,
)
_CHANGES: Final = (phases.sign_in, phases.rest, phases.changes)
_IDLE: Final = (phases.nobody, phases.sign_in, phases.rest, phases.work, phases.changes)
_TEAMS: Final = Scene(_CHANGES, repeats=2)
_MANY: Final = Scene(_CHANGES, sockets=10_000, plain=False)
_LARGE: Final = Scene(_EVERYTHING, sockets=10_000, changes_per_s=5, lone_gap_s=1.5, load_s=6.0)

CASES: Final = (
    Case("team", "one team of 1,000: what everything costs", Effort.QUICK, (Scene(_EVERYTHING, rounds=3),)),
    Case(
        "growth",
        "1,000 sockets in teams of 10 and of 100",
        Effort.QUICK,
        (replace(_TEAMS, team_size=10), replace(_TEAMS, team_size=100)),
    ),
    Case("watch", "one team of 1,000, each watching 50", Effort.DEFAULT, (replace(_TEAMS, watched=50),)),
    Case("workers", "one team of 1,000, on two workers", Effort.DEFAULT, (replace(_TEAMS, workers=2),)),
    Case(
        "scripts",
        "what Redis takes for a join, a choice, a lost connection, and 50 joins at once",
        Effort.QUICK,
        alone=scripts.measure,
    ),
    Case("huge", "one team of 10,000", Effort.LARGE, (_LARGE,)),
    Case(
        "idle",
        "10,000 sockets in teams of ten and alone in theirs, idle and at work",
        Effort.LARGE,
        (replace(_MANY, phases=_IDLE, team_size=10), replace(_MANY, phases=_IDLE, team_size=1)),
    ),
    Case(
        "wide",
        "10,000 sockets in teams of 100 and of 1,000, and in one, each watching 50",
        Effort.LARGE,
        (replace(_MANY, team_size=100), replace(_MANY, team_size=1_000), replace(_MANY, watched=50)),
    ),
    Case(
        "cluster",
        "10,000 users in teams of ten without sockets, on one Valkey and on three masters",
        Effort.LARGE,
        alone=cluster_cases.cluster,
    ),
    Case(
        "million",
        "a million users in teams of ten without sockets: idle, changing, Valkey started again, a worker's death",
        Effort.LARGE,
        alone=store_cases.million,
    ),
)
