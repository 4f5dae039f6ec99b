"""A run's figures as a picture: PNG to look at, SVG to put into documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from benchmark.results import Figure, Results

_COLORS: Final = {"presence": "#2563eb", "plain": "#9ca3af"}
_TEAM_SIZE: Final = re.compile(r"^([\d,]+) sockets in (?:teams of ([\d,]+)|one team)$")


def draw(results: Results, folder: Path, subtitle: str) -> None:
    """Write plot.png and plot.svg into `folder`."""
    # The same figures give the same file: ids from a fixed salt, and no date.
    mpl.rcParams.update({"svg.hashsalt": "presence-server", "font.size": 9, "axes.spines.top": False})
    picture = Picture(figsize=(11, 8), layout="constrained")
    picture.suptitle(f"presence-server beside a plain Starlette endpoint, same run\n{subtitle}", fontsize=11)
    axes = picture.subplots(2, 2)
    case = next((figure.case for figure in results if figure.case.endswith("sockets in one team")), "")
    team = [figure for figure in results if figure.case == case]
    _ratios(axes[0][0], [figure for figure in team if figure.kind == "cost" and "plain" in figure.rounds])
    seen = {_short(figure.name): figure for figure in team if "seen after" in figure.name}
    _pairs(axes[0][1], f"From change to receipt, {case}", "ms", seen, log=True)
    growth = _by_team_size(results, "changes/s: CPU per change")
    _pairs(axes[1][0], "CPU per change, by users in a team", "µs", growth, log=True)
    memory = _by_team_size(results, "memory per idle socket")
    _pairs(axes[1][1], "Resident memory per idle socket, by users in a team", "KB", memory)
    picture.savefig(folder / "plot.png", dpi=120)
    picture.savefig(folder / "plot.svg", metadata={"Date": None})


def _ratios(axes: Axes, figures: list[Figure]) -> None:
    ratios = {figure.name: figure.ratio("presence", "plain") or 0.0 for figure in reversed(figures)}
    bars = axes.barh(list(ratios), list(ratios.values()), color=_COLORS["presence"])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.axvline(1, color=_COLORS["plain"], linestyle="--")
    axes.set_title("Cost, as a ratio to the plain endpoint (less is better)")


def _short(name: str) -> str:
    what, _, part = name.partition(": seen after, ")
    return f"{part}\n{what.removeprefix('a ').removesuffix(' change').replace(' changes', '')}"


def _by_team_size(results: Results, name: str) -> dict[str, Figure]:
    figures: dict[int, Figure] = {}
    for figure in results:
        found = _TEAM_SIZE.match(figure.case)
        if found is not None and figure.name.endswith(name):
            figures.setdefault(int((found[2] or found[1]).replace(",", "")), figure)
    return {f"{size:,}": figures[size] for size in sorted(figures)}


def _pairs(axes: Axes, title: str, unit: str, figures: dict[str, Figure], *, log: bool = False) -> None:
    """A bar of each side for each figure."""
    axes.set_title(title)
    axes.set_ylabel(unit)
    for offset, (side, color) in zip((-0.2, 0.2), _COLORS.items(), strict=True):
        values = [figure.median(side) or 0.0 for figure in figures.values()]
        bars = axes.bar([at + offset for at in range(len(figures))], values, width=0.38, color=color, label=side)
        axes.bar_label(bars, [f"{value:.3g}" if value else "" for value in values], fontsize=7)
    axes.set_xticks(range(len(figures)), list(figures), fontsize=6.5)
    if figures:
        axes.legend(frameon=False)
        if log:
            axes.set_yscale("log")
