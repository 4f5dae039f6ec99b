"""Measures, prints a table, writes results.json, a plot and the servers' logs, and compares with an earlier run.

Exit status: 0, all went well; 1, something got worse or went wrong; 2, the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmark import machine, plot
from benchmark.cases import Run
from benchmark.plan import DEFAULT, LARGE, QUICK, Plan
from benchmark.results import compare
from benchmark.valkey import Valkey

CASES: Final = ("team", "growth", "watch", "workers", "redis", "huge", "wide")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    options = _parser().parse_args(arguments)
    # Ended by a signal, it must not leave its servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan: Plan = options.plan
    if machine.raise_file_limit() < 2 * max(plan.sockets, plan.huge_sockets):
        print("bench: the limit of open files is low; sockets may fail to connect (see ulimit -n)", file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    for log in options.out.glob("*.log"):
        log.unlink()
    run = _run(plan, options.cases, options.out)
    table = run.results.table()
    print(f"\n{table}")
    _write(run, options.out, table)
    failures = run.results.failures()
    for failure in failures:
        print(f"bench: {failure}", file=sys.stderr)
    if options.compare is not None:
        try:
            worse = compare(run.results, options.compare, options.tolerance)
        except (OSError, ValueError) as exc:
            print(f"bench: {exc}", file=sys.stderr)
            return 2
        print("\n".join(["Worse than before:", *worse]) if worse else "Nothing got worse.")
        failures += worse
    return 1 if failures else 0


def _run(plan: Plan, wanted: Sequence[str], out: Path) -> Run:
    started_s = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - started_s:5.0f} s  {what}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="presence-bench-") as folder, Valkey(Path(folder)) as valkey:
        run = Run(plan, valkey, out, tell)
        for name in CASES:
            if name in wanted:
                run.attempt(getattr(run, name))
        tell("done")
    return run


def _write(run: Run, out: Path, table: str) -> None:
    facts = machine.description()
    about = {"taken": datetime.now(UTC).isoformat(timespec="seconds"), "plan": run.plan.name, "machine": facts}
    (out / "results.json").write_text(json.dumps(run.results.as_json(about), indent=1, ensure_ascii=False) + "\n")
    (out / "table.txt").write_text(table)
    plot.draw(run.results, out, f"{facts['machine']}, Python {facts['python']}")
    print(f"Written to {out}: results.json, table.txt, plot.png, plot.svg")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measures what the server costs beside a plain Starlette WebSocket endpoint.",
    )
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument(
        "--quick", dest="plan", action="store_const", const=QUICK, help="about a minute: one round, few cases"
    )
    how_much.add_argument(
        "--large", dest="plan", action="store_const", const=LARGE, help="10,000 sockets and 50,000 users besides"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench"), metavar="FOLDER", help="where to write (default: build/bench)"
    )
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="say what got worse since that run")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.25,
        metavar="PART",
        help="what counts as worse (default: 0.25, by a quarter)",
    )
    parser.add_argument(
        "--cases", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=f"only some of: {', '.join(CASES)}"
    )
    parser.set_defaults(plan=DEFAULT)
    return parser


if __name__ == "__main__":
    sys.exit(main())
