"""The benchmark measures for real: sockets, and scripts beside those of another checkout, which is this one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import phases
from benchmark.cases import Case, Effort, Scene
from benchmark.results import Results, Sheet
from benchmark.run import carry_out
from benchmark.scripts import WORKS

ROOT = Path(__file__).parents[1]

FIGURE = re.compile(r"^  (?P<name>\S.*?)(, (?P<unit>µs|ms|s|KB|bytes|%))?(?P<values>( +(–|[\d,.]+(e[+-]\d+)?))+)$")


def bench(*arguments: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Run the benchmark as scripts/bench does."""
    command = [sys.executable, "-m", "benchmark", "--out", str(out), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where a run of the quickest case has written, and what it has printed."""
    out = tmp_path_factory.mktemp("bench")
    # Which of two equal sides is slower is chance.
    done = bench(
        *("--quick", "--cases", "scripts", "--scale", "0.002", "--old", str(ROOT), "--tolerance", "100"), out=out
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r" *0 s  Scripts in a loop, teams of ten\n *\d+ s  done\n$", done.stderr)
    return out, done.stdout


def test_it_prints_a_table_of_all_sides(ran: tuple[Path, str]) -> None:
    head, *lines = (ran[0] / "table.txt").read_text().splitlines()
    assert head.split() == ["presence", "old", "old/new"]
    assert [line for line in lines if not line.startswith("  ")] == ["", "Scripts in a loop, teams of ten"]
    figures = [line for line in lines if line.startswith("  ")]
    found = [match for line in figures if (match := FIGURE.match(line))]
    assert len(found) == len(figures)
    assert [match["unit"] for match in found] == ["µs", "µs", None] * len(WORKS)
    assert {len(match["values"].split()) for match in found} == {3}
    assert (ran[0] / "table.txt").read_text() in ran[1]
    assert "Nothing got worse." in ran[1]


def test_its_figures_are_measured(ran: tuple[Path, str]) -> None:
    results = json.loads((ran[0] / "results.json").read_text())
    assert results["effort"] == "quick"
    assert results["machine"]["redis"]
    medians = {figure["name"]: figure["median"] for figure in results["figures"]}
    for side in ("presence", "old"):
        for work in WORKS:
            assert 0 < medians[f"{work.name}: time inside the script"][side] < 10_000
        run = {work.name: round(medians[f"{work.name}: commands run inside"][side], 2) for work in WORKS}
        # Each key is read and written once, whoever shares the call; only users are read one by one.
        assert run["a choice"] == 7
        assert run["one of 50 joins at once"] <= 1.2


def test_it_leaves_a_picture(ran: tuple[Path, str]) -> None:
    assert (ran[0] / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert (ran[0] / "plot.svg").read_text().rstrip().endswith("</svg>")


def test_a_crowd_goes_through_its_phases_on_all_sides(tmp_path: Path) -> None:
    scene = Scene((phases.sign_in, phases.changes, phases.storm), sockets=50, load_s=0.5)
    told: list[str] = []
    results = carry_out([Case("small", "", Effort.QUICK, (scene,))], Effort.DEFAULT, 1.0, None, tmp_path, told.append)
    assert told == ["50 sockets in one team, round 1 of 1"]
    assert results.failures() == []
    by_name = {figure.name: figure for figure in results}
    for name in ("100 changes/s: CPU per update delivered", "storm: CPU per return"):
        assert set(by_name[name].rounds) == {"presence", "plain"}
        assert all(value > 0 for rounds in by_name[name].rounds.values() for value in rounds)
    assert (by_name["100 changes/s: Redis commands sent per change"].median("presence") or 0) > 0
    assert {log.name: log.read_text() for log in tmp_path.glob("*.log")} == {"presence.log": "", "plain.log": ""}


def test_help_lists_the_cases(tmp_path: Path) -> None:
    text = bench("--help", out=tmp_path).stdout
    listed = re.findall(r"^  (\w+) +\S.* \((quick|default|large)\)$", text, re.MULTILINE)
    assert {"team", "growth", "watch", "workers", "scripts", "huge", "idle", "wide", "million"} <= {
        name for name, _ in listed
    }


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--cases", "tame"], "(choose from 'team', 'growth'"),
        (["--old", "tests"], "Expected --old to name a checkout of the project, got"),
        (["--quick", "--large"], "not allowed with"),
    ],
)
def test_wrong_arguments_are_told(tmp_path: Path, arguments: list[str], why: str) -> None:
    done = bench(*arguments, out=tmp_path)
    assert done.returncode == 2
    assert why in done.stderr


def test_what_got_worse_is_told() -> None:
    results = Results()
    for side, cost, loss in (("old", 2.0, 0), ("presence", 2.4, 1), ("plain", 9.0, 7)):
        sheet = Sheet(results, "1,000 sockets", side)
        sheet.add("CPU", cost, "µs")
        sheet.add("seen after", cost, "ms", "info")
        sheet.add("sockets lost", loss, kind="zero")
    assert results.worse(0.25) == []
    assert results.worse(0.1) == ["1,000 sockets: CPU: 2 → 2.4 µs"]
    assert results.failures() == ["1,000 sockets: expected no sockets lost, got 1"]


def test_a_figure_is_the_median_of_its_rounds() -> None:
    results = Results()
    for value in (5.0, 1_250.0, 3.0):
        Sheet(results, "1,000 sockets", "presence").add("CPU", value, "µs")
    Sheet(results, "1,000 sockets", "plain").add("CPU", 10.0, "µs")
    assert results.table().splitlines()[-1].split() == ["CPU,", "µs", "5", "10", "0.5"]
