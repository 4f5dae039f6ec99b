"""The table of docs/reliability.md: every fault on every topology, several seeds each.

What has been run is kept in a file, so that a table may be made in parts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from reliability.faults import FAULTS
from reliability.oracle.verdict import LASTING, Kind
from reliability.report import report
from reliability.run import Outcome, Tell, play
from reliability.schedule import draw

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
_MARKED: Final = re.compile(r"(?<=<!-- table: written by scripts/chaos --table -->\n).*?(?=<!-- /table -->)", re.DOTALL)
# Beside the fault: everybody comes, something goes on before it, and all that follows from it has time.
_AROUND_S: Final = 24.0

Row = dict[str, Any]


class People(NamedTuple):
    """How many users there are, and how many workers serve them."""

    users: int
    workers: int


def run_all(
    topologies: Sequence[str], faults: Sequence[str], seeds: int, people: People, out: Path, jobs: int, tell: Tell
) -> list[Row]:
    """Play what has not been played yet, by one seed after another; returns all there is.

    Args:
        seeds: how many, from 1 on.
        out: where logs, reports, and what has been played are kept.
        jobs: how many runs side by side.
    """
    kept = out / "table.json"
    rows: list[Row] = json.loads(kept.read_text()) if kept.exists() else []
    played = {(row["topology"], row["fault"], row["seed"]) for row in rows}
    wanted = [
        (topology, name, seed)
        for seed in range(1, seeds + 1)
        for topology in topologies
        for name in faults
        if topology in FAULTS[name].topologies and (topology, name, seed) not in played
    ]
    # A run claims ports for its process and reads what its children did: each has a process of its own.
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        playing = {pool.submit(_play, *each, people, out): each for each in wanted}
        for done in as_completed(playing):
            topology, name, seed = playing[done]
            about = f"{topology}, {name}, seed {seed}"
            if (trouble := done.exception()) is not None:
                # One that could not be played is not there, and is played by the next call; hours of others stay.
                tell(f"{about}: not played: {trouble!r}")
                continue
            rows.append(done.result())
            kept.write_text(json.dumps(rows, indent=1) + "\n")
            tell(about + (": failed" if failed(rows[-1]) else ""))
    return rows


def write(rows: Iterable[Row]) -> None:
    """Put the table into the page."""
    page = PAGE.read_text()
    assert _MARKED.search(page), f"Expected marks for the table in {PAGE}"
    PAGE.write_text(_MARKED.sub(lambda _: "\n" + markdown(list(rows)) + "\n", page))


def markdown(rows: Sequence[Row]) -> str:
    """A table for each topology: for each fault, what its runs have found, by which seeds, and the worst times."""
    parts = []
    for topology in dict.fromkeys(row["topology"] for row in rows):
        mine = [row for row in rows if row["topology"] == topology]
        heads = ["Fault", "Seeds", "Found", "Lost by nature", "Agreement, s", "Sweep lag, s", "Busy, s"]
        lines = [f"### {topology.capitalize()}", "", _line(heads), _line(["---"] * len(heads))]
        for name in (name for name in FAULTS if any(row["fault"] == name for row in mine)):
            lines.append(_line(_cells(name, [row for row in mine if row["fault"] == name])))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _play(topology: str, name: str, seed: int, people: People, out: Path) -> Row:
    directory = out / f"{topology}-{name}-{seed}"
    duration_s = _AROUND_S + FAULTS[name].lasts_s[1]
    schedule = draw(seed, users=people.users, workers=people.workers, duration_s=duration_s, faults=[name])
    outcome = play(schedule, topology, directory, lambda _: None)
    (directory / "report.txt").write_text(report(outcome) + "\n")
    return {"topology": topology, "fault": name, "seed": seed, **figures(outcome)}


def figures(outcome: Outcome) -> Row:
    """What is kept of a run."""
    verdict = outcome.verdict
    return {
        "figures": {kind.value: round(verdict.figure(kind), 1) for kind in Kind},
        "by_nature": sum(verdict.by_nature.values()),
        "agreement_ms": max((ms for _, ms in verdict.agreement), default=0),
        "sweep_lag_s": outcome.worst_sweep_lag_s(),
        "busy_ms": verdict.busy_ms,
    }


def _cells(name: str, rows: Sequence[Row]) -> list[str]:
    rows = sorted(rows, key=lambda row: int(row["seed"]))
    seeds = ", ".join(str(row["seed"]) for row in rows if failed(row))
    return [
        f"`{name}`: {FAULTS[name].about}",
        ", ".join(str(row["seed"]) for row in rows),
        f"{_found(rows)} (seed {seeds})" if seeds else "nothing",
        str(sum(row["by_nature"] for row in rows)),
        f"{max(row['agreement_ms'] for row in rows) / 1000:.1f}",
        _bound(max(row["sweep_lag_s"] for row in rows)),
        f"{sum(row['busy_ms'] for row in rows) / 1000:.1f}",
    ]


def _found(rows: Sequence[Row]) -> str:
    sums = {kind: sum(row["figures"][kind.value] for row in rows) for kind in Kind}
    return ", ".join(
        f"{kind.value}: {figure:.1f} s" if kind in LASTING else f"{kind.value}: {figure:.0f}"
        for kind, figure in sums.items()
        if figure
    )


def failed(row: Row) -> bool:
    """Whether a run has found anything."""
    return any(row["figures"].values())


def _bound(sweep_lag_s: float) -> str:
    return "beyond its buckets" if math.isinf(sweep_lag_s) else f"≤ {sweep_lag_s:g}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
