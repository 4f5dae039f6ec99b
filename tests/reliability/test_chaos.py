"""Chaos for real: a run that is as it should be, a minute on each topology, and what finds the least that fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reliability.faults import FAULTS
from reliability.schedule import Schedule, draw
from reliability.shrink import least, shrink
from reliability.table import markdown
from reliability.topologies import TOPOLOGIES
from tests.support.worker import ROOT


def chaos(*arguments: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Run it as scripts/chaos does."""
    command = [sys.executable, "-m", "reliability", "--out", str(out), *arguments]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def drawn(seed: int = 7) -> Schedule:
    return draw(seed, users=12, workers=2, duration_s=60, faults=[*FAULTS])


def test_people_and_a_killed_worker_are_judged(tmp_path: Path) -> None:
    """A machine that has no time for it says so, and that is no fault of anybody's."""
    done = chaos(
        "--faults", "worker-kill", "--seed", "1", "--users", "12", "--workers", "2", "--duration", "20", out=tmp_path
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert "worker-kill for" in done.stderr
    assert "  ghost                   0.0 s\n  false offline           0.0 s\n" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_minute_of_chaos(topology: str, tmp_path: Path) -> None:
    """People see what they must, and nothing else, whatever breaks; a failure names its seed."""
    done = chaos("--topology", topology, out=tmp_path)
    assert done.returncode in (0, 3), done.stdout + done.stderr


def test_a_seed_draws_the_same_again_and_another_one_does_not() -> None:
    assert drawn() == drawn()
    assert drawn().steps != drawn(8).steps


def test_the_least_that_fails_is_found() -> None:
    """One fault, one person, one step: all else is left out."""
    schedule = drawn()
    hit, step = schedule.hits[1], schedule.steps[40]
    found = shrink(schedule, lambda tried: hit in tried.hits and step in tried.steps, runs=1_000)
    assert (found.hits, found.steps) == ((hit,), (step,))


def test_no_more_runs_are_made_than_allowed() -> None:
    runs = 0

    def fails(_: Schedule) -> bool:
        nonlocal runs
        runs += 1
        return False

    assert shrink(drawn(), fails, runs=5) == drawn()
    assert runs == 5


def test_what_fails_only_together_is_kept_together() -> None:
    assert least(range(20), lambda kept: {3, 17} <= set(kept)) == [3, 17]


def test_a_table_sums_up_the_runs_of_a_fault() -> None:
    figures = {"ghost": 0.0, "false offline": 1.5} | dict.fromkeys(
        [
            *(
                "wrong colour",
                "stale without a fault",
                "missed",
                "doubled",
                "reordered",
                "lost choice",
                "lost sign-out",
            ),
            *("forbidden message", "unanswered", "closed for no reason"),
        ],
        0.0,
    )
    row = {"topology": "single", "fault": "flushall", "figures": figures, "by_nature": 1, "agreement_ms": 700}
    rows = [row | {"seed": seed, "sweep_lag_s": 0.5 * seed, "busy_ms": 100} for seed in (1, 2)]
    rows.append(rows[0] | {"fault": "latency", "figures": dict.fromkeys(figures, 0.0)})
    found = markdown(rows).splitlines()
    assert found[-2] == "| `flushall`: `FLUSHALL` | 1, 2 | false offline: 3.0 s (seed 1, 2) | 2 | 0.7 | ≤ 1 | 0.2 |"
    assert found[-1].endswith("| 1 | nothing | 1 | 0.7 | ≤ 0.5 | 0.1 |")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--faults", "gremlins"], "invalid choice: 'gremlins'"),
        (["--topology", "single", "--faults", "failover"], "Expected faults that single can have, got failover"),
        (["--table", "--shrink"], "not allowed with"),
    ],
)
def test_wrong_arguments_are_told(tmp_path: Path, arguments: list[str], why: str) -> None:
    done = chaos(*arguments, out=tmp_path)
    assert done.returncode == 2
    assert why in done.stderr
