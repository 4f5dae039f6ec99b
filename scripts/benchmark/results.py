"""Figures: what was measured on each side, as a table and as JSON, and what got worse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal, NamedTuple

Kind = Literal["cost", "zero", "info"]
"""What a figure is held against: the other checkout's, zero, or nothing. Of all of them, less is better."""


@dataclass(slots=True)
class Figure:
    """One figure.

    Attributes:
        case, name, unit: what was measured.
        kind: how it is judged.
        rounds: what each round has measured, by side.
    """

    case: str
    name: str
    unit: str
    kind: Kind
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, side: str) -> float | None:
        """The median over a side's rounds."""
        return median(self.rounds[side]) if side in self.rounds else None

    def ratio(self, side: str, to: str) -> float | None:
        """A side's median by another's."""
        mine, theirs = self.median(side), self.median(to)
        return mine / theirs if mine is not None and theirs else None


class Sheet(NamedTuple):
    """Where the figures of one side in one case go."""

    results: Results
    case: str
    side: str

    def add(self, name: str, value: float, unit: str = "", kind: Kind = "cost") -> None:
        """Add one measurement."""
        self.results.add(self.case, name, unit, kind, self.side, value)


class Results:
    """All figures of a run."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str], Figure] = {}
        self._failed: list[str] = []

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._figures.values())

    def add(self, case: str, name: str, unit: str, kind: Kind, side: str, value: float) -> None:
        """Add one measurement of a side: `presence`, `old` or `plain`."""
        figure = self._figures.setdefault((case, name), Figure(case, name, unit, kind))
        figure.rounds.setdefault(side, []).append(value)

    def failed(self, why: str) -> None:
        """A case could not be carried out."""
        self._failed.append(why)

    def failures(self) -> list[str]:
        """What could not be carried out, and what should have been zero on the server's side and was not."""
        return self._failed + [
            f"{figure.case}: expected no {figure.name}, got {max(found):g}"
            for figure in self
            if figure.kind == "zero" and any(found := figure.rounds.get("presence", []))
        ]

    def worse(self, tolerance: float) -> list[str]:
        """What costs more than in the other checkout, by more than `tolerance` (0.25: by a quarter)."""
        return [
            f"{figure.case}: {figure.name}: {figure.median('old'):.3g} → {figure.median('presence'):.3g} {figure.unit}"
            for figure in self
            if figure.kind == "cost" and (figure.ratio("presence", "old") or 0.0) > 1 + tolerance
        ]

    def table(self) -> str:
        """All figures, a line each."""
        sides = {side for figure in self for side in figure.rounds}
        columns = ["presence"] + ["old", "old/new"] * ("old" in sides) + ["plain", "new/plain"] * ("plain" in sides)
        lines = [" " * 68 + "".join(f"{column:>11}" for column in columns)]
        case = ""
        for figure in self:
            lines += [] if figure.case == case else ["", figure.case]
            case = figure.case
            values = {side: figure.median(side) for side in sides}
            values |= {"old/new": figure.ratio("old", "presence"), "new/plain": figure.ratio("presence", "plain")}
            name = f"  {figure.name}, {figure.unit}" if figure.unit else f"  {figure.name}"
            lines.append(f"{name:<68}" + "".join(f"{_number(values[column]):>11}" for column in columns))
        return "\n".join(lines) + "\n"

    def as_json(self) -> list[dict[str, Any]]:
        """All figures with every round."""
        return [asdict(figure) | {"median": {side: figure.median(side) for side in figure.rounds}} for figure in self]


def percentile(values: list[float], part: float) -> float:
    """The value that so great a part of some values (0.5: half of them) does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
