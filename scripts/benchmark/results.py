"""Figures: what was measured on both sides, as a table, as JSON, and against an earlier run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

Guard = Literal["ratio", "value", "zero", ""]
"""How a figure is held against an earlier run's: by its ratio to the plain endpoint, by itself, as zero, or not."""

_FORMAT: Final = 1


@dataclass(slots=True)
class Figure:
    """One figure; smaller is better.

    Attributes:
        case, name, unit: what was measured.
        guard: how it is compared.
        presence, plain: what each round has measured.
    """

    case: str
    name: str
    unit: str
    guard: Guard = ""
    presence: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)

    @property
    def value(self) -> float | None:
        """The server's median."""
        return median(self.presence) if self.presence else None

    @property
    def plain_value(self) -> float | None:
        """The plain endpoint's median."""
        return median(self.plain) if self.plain else None

    @property
    def ratio(self) -> float | None:
        """The server's median by the plain endpoint's."""
        return self.value / self.plain_value if self.value is not None and self.plain_value else None


@dataclass(slots=True)
class Usage:
    """How much of a core each process used in one case; the load generator's tells whether it was the bottleneck."""

    case: str
    side: str
    server: list[float] = field(default_factory=list)
    valkey: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)


class Results:
    """All figures of a run."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str], Figure] = {}
        self._usage: dict[tuple[str, str], Usage] = {}
        self._failed: list[str] = []

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._figures.values())

    def get(self, case: str, name: str) -> Figure | None:
        """One figure, if it was measured."""
        return self._figures.get((case, name))

    def add(self, case: str, name: str, unit: str, side: str, value: float, guard: Guard = "") -> None:
        """Add one measurement of `side`, "presence" or "plain"."""
        figure = self._figures.setdefault((case, name), Figure(case, name, unit, guard))
        (figure.presence if side == "presence" else figure.plain).append(value)

    def used(self, case: str, side: str, server: float, valkey: float, generator: float) -> None:
        """Add the parts of a core that were used in one case."""
        usage = self._usage.setdefault((case, side), Usage(case, side))
        usage.server.append(server)
        usage.valkey.append(valkey)
        usage.generator.append(generator)

    def failed(self, why: str) -> None:
        """A case could not be carried out."""
        self._failed.append(why)

    def failures(self) -> list[str]:
        """What could not be carried out, and what should have been zero on the server's side and was not."""
        return self._failed + [
            f"{figure.case}: expected no {figure.name}, got {max(figure.presence):g}"
            for figure in self
            if figure.guard == "zero" and any(figure.presence)
        ]

    def table(self) -> str:
        """All figures, a line each."""
        lines = [f"{'':<62}{'presence':>11}{'plain':>11}{'ratio':>8}"]
        case = ""
        for figure in self:
            if figure.case != case:
                case = figure.case
                lines += ["", case]
            name = f"  {figure.name}, {figure.unit}" if figure.unit else f"  {figure.name}"
            lines.append(f"{name:<62}{_number(figure.value)}{_number(figure.plain_value)}{_ratio(figure.ratio)}")
        if self._usage:
            lines += ["", f"{'Parts of a core used':<62}{'server':>11}{'Valkey':>11}{'load':>8}"]
        for usage in self._usage.values():
            parts = [median(usage.server), median(usage.valkey), median(usage.generator)]
            shown = f"{parts[0]:>10.0%} {parts[1]:>10.0%} {parts[2]:>7.0%} "
            lines.append(f"  {usage.case + ', ' + usage.side:<59}{shown}".rstrip())
        return "\n".join(lines) + "\n"

    def as_json(self, about: dict[str, Any]) -> dict[str, Any]:
        """All figures with every round, for `compare` and for whoever wants to look closer."""
        figures = [
            {
                "case": figure.case,
                "name": figure.name,
                "unit": figure.unit,
                "guard": figure.guard,
                "presence": figure.value,
                "plain": figure.plain_value,
                "ratio": figure.ratio,
                "rounds": {"presence": figure.presence, "plain": figure.plain},
            }
            for figure in self
        ]
        usage = [
            {
                "case": usage.case,
                "side": usage.side,
                "server": median(usage.server),
                "valkey": median(usage.valkey),
                "generator": median(usage.generator),
            }
            for usage in self._usage.values()
        ]
        return {"format": _FORMAT, **about, "figures": figures, "usage": usage}


def compare(new: Results, old: Path, tolerance: float) -> list[str]:
    """Say what got worse since an earlier run, by more than `tolerance` (0.25: by a quarter).

    Raises:
        ValueError: the file is not a run's JSON.
    """
    earlier = json.loads(old.read_text())
    if not isinstance(earlier, dict) or earlier.get("format") != _FORMAT:
        raise ValueError(f"Expected {old} to be the results.json of an earlier run, got something else")
    by_name = {(entry["case"], entry["name"]): entry for entry in earlier["figures"]}
    worse = []
    for figure in new:
        before = by_name.get((figure.case, figure.name))
        if before is None or before["unit"] != figure.unit:
            continue
        what = "ratio" if figure.guard == "ratio" else "presence"
        now, then = (figure.ratio if what == "ratio" else figure.value), before[what]
        if figure.guard in ("ratio", "value") and now is not None and then and now > then * (1 + tolerance):
            meaning = "times the plain endpoint" if what == "ratio" else figure.unit
            worse.append(f"{figure.case}: {figure.name}: {then:.3g} → {now:.3g} {meaning} ({now / then - 1:+.0%})")
    return worse


def _number(value: float | None) -> str:
    if value is None:
        return f"{'–':>11}"
    if value == int(value) and abs(value) < 1e6:
        return f"{value:>11,.0f}"
    return f"{value:>11,.0f}" if abs(value) >= 1000 else f"{value:>11.3g}"


def _ratio(value: float | None) -> str:
    return f"{'–':>8}" if value is None else f"{value:>8.2f}"
