"""A run's figures as a picture: PNG to look at, SVG to put into documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from benchmark.results import Figure, Results

_OURS: Final = "#2563eb"
_PLAIN: Final = "#9ca3af"
_TEAM_SIZE: Final = re.compile(r"sockets in (?:teams of ([\d,]+)|one team)$")


def draw(results: Results, folder: Path, subtitle: str) -> None:
    """Write plot.png and plot.svg into `folder`."""
    # The same figures give the same file: ids from a fixed salt, and no date.
    mpl.rcParams.update({"svg.hashsalt": "presence-server", "font.size": 9, "axes.spines.top": False})
    mpl.rcParams.update({"axes.spines.right": False})
    picture = Picture(figsize=(11, 8), layout="constrained")
    picture.suptitle(f"presence-server beside a plain Starlette endpoint, same run\n{subtitle}", fontsize=11)
    axes = picture.subplots(2, 2)
    _ratios(axes[0][0], results)
    _latencies(axes[0][1], results)
    _growth(axes[1][0], results)
    _memory(axes[1][1], results)
    picture.savefig(folder / "plot.png", dpi=120)
    picture.savefig(folder / "plot.svg", metadata={"Date": None})


def _main_case(results: Results) -> list[Figure]:
    case = next((figure.case for figure in results if figure.case.endswith("sockets in one team")), "")
    return [figure for figure in results if figure.case == case]


def _ratios(axes: Axes, results: Results) -> None:
    figures = [figure for figure in _main_case(results) if figure.guard == "ratio" and figure.ratio is not None][::-1]
    names = [figure.name for figure in figures]
    values = [figure.ratio or 0.0 for figure in figures]
    bars = axes.barh(names, values, color=_OURS)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3)
    axes.axvline(1, color=_PLAIN, linestyle="--")
    axes.set_title("Cost, as a ratio to the plain endpoint (less is better)")


def _latencies(axes: Axes, results: Results) -> None:
    figures = [figure for figure in _main_case(results) if "seen after" in figure.name]
    _pairs(axes, figures, [_short(figure.name) for figure in figures])
    _logarithmic(axes, figures)
    axes.set_ylabel("ms")
    axes.set_title("From change to receipt, 1,000 sockets in one team")
    if figures:
        axes.legend(frameon=False)


def _short(name: str) -> str:
    what, _, percentile = name.partition(": seen after, ")
    return f"{percentile}\n{'lone' if what == 'a lone change' else what.replace(' changes', '')}"


def _growth(axes: Axes, results: Results) -> None:
    figures = _by_team_size(results, "changes/s: CPU per change")
    _pairs(axes, list(figures.values()), [f"{size:,}" for size in figures])
    _logarithmic(axes, list(figures.values()))
    axes.set_ylabel("µs")
    axes.set_xlabel("users in a team")
    axes.set_title("CPU per change, told to the whole team")


def _memory(axes: Axes, results: Results) -> None:
    figures = _by_team_size(results, "memory per idle socket")
    _pairs(axes, list(figures.values()), [f"{size:,}" for size in figures])
    axes.set_ylabel("KB")
    axes.set_xlabel("users in a team")
    axes.set_title("Resident memory per idle socket")


def _by_team_size(results: Results, name: str) -> dict[int, Figure]:
    figures: dict[int, Figure] = {}
    for figure in results:
        found = _TEAM_SIZE.search(figure.case)
        if found is not None and figure.name.endswith(name):
            size = found[1] if found[1] is not None else figure.case.partition(" ")[0]
            figures.setdefault(int(size.replace(",", "")), figure)
    return dict(sorted(figures.items()))


def _logarithmic(axes: Axes, figures: list[Figure]) -> None:
    values = [value for figure in figures for value in (figure.value, figure.plain_value) if value]
    if values:
        axes.set_yscale("log")
        axes.set_ylim(min(values) / 3, max(values) * 3)


def _pairs(axes: Axes, figures: list[Figure], labels: list[str]) -> None:
    """A bar of each side for each figure."""
    places = range(len(figures))
    for offset, color, label, values in (
        (-0.2, _OURS, "presence-server", [figure.value or 0.0 for figure in figures]),
        (0.2, _PLAIN, "plain endpoint", [figure.plain_value or 0.0 for figure in figures]),
    ):
        bars = axes.bar([place + offset for place in places], values, width=0.38, color=color, label=label)
        shown = ["" if not value else f"{value:.3g}" if value < 1000 else f"{value:,.0f}" for value in values]
        axes.bar_label(bars, shown, fontsize=7)
    axes.set_xticks(list(places), labels, fontsize=6.5)
