"""The table of docs/reliability.md: every fault on every topology, several seeds each.

What has been run is kept in a file, so that a table may be made in parts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from reliability.faults import FAULTS
from reliability.oracle.verdict import LASTING, Kind
from reliability.run import Outcome, Tell, play
from reliability.schedule import draw

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
_MARKED: Final = re.compile(r"(?<=<!-- table: written by scripts/chaos --table -->\n).*?(?=<!-- /table -->)", re.DOTALL)
# Beside the fault: everybody comes, something goes on before it, and all that follows from it has time.
_AROUND_S: Final = 24.0

Row = dict[str, Any]


def run_all(
    topologies: Sequence[str], faults: Sequence[str], seeds: int, users: int, workers: int, out: Path, tell: Tell
) -> list[Row]:
    """Play what has not been played yet; returns all there is."""
    kept = out / "table.json"
    rows: list[Row] = json.loads(kept.read_text()) if kept.exists() else []
    for topology in topologies:
        for name in faults:
            if topology not in FAULTS[name].topologies:
                continue
            for seed in range(1, seeds + 1):
                if not any((row["topology"], row["fault"], row["seed"]) == (topology, name, seed) for row in rows):
                    tell(f"{topology}, {name}, seed {seed}")
                    rows.append(_play(topology, name, seed, users, workers, out))
                    kept.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def write(rows: Iterable[Row]) -> None:
    """Put the table into the page."""
    page = PAGE.read_text()
    assert _MARKED.search(page), f"Expected marks for the table in {PAGE}"
    PAGE.write_text(_MARKED.sub(lambda _: "\n" + markdown(list(rows)) + "\n", page))


def markdown(rows: Sequence[Row]) -> str:
    """A table for each topology: for each fault, the sums of its runs, the worst times, and the seeds that failed."""
    parts = []
    for topology in dict.fromkeys(row["topology"] for row in rows):
        mine = [row for row in rows if row["topology"] == topology]
        heads = [
            "Fault",
            "Seeds",
            *(kind.value for kind in Kind),
            "lost by nature",
            "agreement, s",
            "sweep lag, s",
            "busy, s",
        ]
        lines = [f"### {topology.capitalize()}", "", _line(heads), _line(["---"] * len(heads))]
        for name in (name for name in FAULTS if any(row["fault"] == name for row in mine)):
            lines.append(_line(_cells(name, [row for row in mine if row["fault"] == name])))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _play(topology: str, name: str, seed: int, users: int, workers: int, out: Path) -> Row:
    duration_s = _AROUND_S + FAULTS[name].lasts_s[1]
    schedule = draw(seed, users=users, workers=workers, duration_s=duration_s, faults=[name])
    outcome = play(schedule, topology, out / f"{topology}-{name}-{seed}", lambda _: None)
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
    failed = [row["seed"] for row in rows if any(row["figures"].values())]
    seeds = ", ".join(str(row["seed"]) for row in rows)
    sums = {kind: sum(row["figures"][kind.value] for row in rows) for kind in Kind}
    return [
        f"`{name}`: {FAULTS[name].about}",
        seeds + (f", failed: {', '.join(map(str, failed))}" if failed else ""),
        *(f"{sums[kind]:.1f} s" if kind in LASTING and sums[kind] else f"{sums[kind]:.0f}" for kind in Kind),
        str(sum(row["by_nature"] for row in rows)),
        f"{max(row['agreement_ms'] for row in rows) / 1000:.1f}",
        _bound(max(row["sweep_lag_s"] for row in rows)),
        f"{sum(row['busy_ms'] for row in rows) / 1000:.1f}",
    ]


def _bound(sweep_lag_s: float) -> str:
    return "beyond its buckets" if math.isinf(sweep_lag_s) else f"≤ {sweep_lag_s:g}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
