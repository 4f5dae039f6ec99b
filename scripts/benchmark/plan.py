"""How much is measured: three presets, from a quick look to everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# In this time the server renews every lease once.
LEASE_THIRD_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        name: of the preset.
        rounds: how often the main case starts from scratch; medians are taken over them.
        repeats: how often the load of the smaller cases is measured, on one start.
        sockets: in the main case, all in one team, and in the growth cases.
        connects_per_s: how fast sockets come when they do not come all at once.
        heartbeats_per_s: over all sockets.
        changes_per_s: of the fan-out case.
        load_s: how long heartbeats and changes last, each.
        lone_changes: how many single changes, each after quiet.
        lone_gap_s: the quiet between them; well above the coalescing window.
        idle_s: how long nothing happens: in 20 s both sides ping every socket once.
        team_sizes: of the growth cases, with `sockets` sockets each.
        watch, workers: whether watch lists and two workers are measured.
        stored_users: in the team of the Redis case.
        huge_sockets: sockets of the main case once more; 0 for none.
    """

    name: str
    rounds: int
    repeats: int
    sockets: int = 1_000
    connects_per_s: int = 500
    heartbeats_per_s: int = 2_000
    changes_per_s: int = 100
    load_s: float = 3.0
    lone_changes: int = 6
    lone_gap_s: float = 0.7
    idle_s: float = 20.0
    team_sizes: tuple[int, ...] = (10, 100)
    watch: bool = True
    workers: bool = True
    stored_users: int = 5_000
    huge_sockets: int = 0


QUICK: Final = Plan(
    "quick",
    rounds=1,
    repeats=1,
    load_s=2.0,
    lone_changes=4,
    idle_s=10.0,
    team_sizes=(10,),
    watch=False,
    workers=False,
    stored_users=2_000,
)
DEFAULT: Final = Plan("default", rounds=3, repeats=2)
LARGE: Final = Plan("large", rounds=3, repeats=3, team_sizes=(10, 100, 1_000), stored_users=50_000, huge_sockets=10_000)
