"""Measures, prints a table, writes results.json, a plot and the servers' logs.

Exit status: 0, all went well; 1, something went wrong or got worse; 2, the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmark import machine
from benchmark.cases import CASES, Effort
from benchmark.results import Results
from benchmark.run import carry_out

_SOCKETS: Final = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.old is not None and not (options.old / "presence_server" / "__main__.py").is_file():
        parser.error(f"Expected --old to name a checkout of the project, got {options.old}")
    # Ended by a signal, it must not leave its servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if machine.raise_file_limit() < 2 * _SOCKETS * options.scale:
        print("bench: the limit of open files is low; sockets may fail to connect (see ulimit -n)", file=sys.stderr)
    options.out.mkdir(parents=True, exist_ok=True)
    for log in options.out.glob("*.log"):
        log.unlink()
    started_s = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - started_s:5.0f} s  {what}", file=sys.stderr, flush=True)

    cases = [case for case in CASES if (case.name in options.cases if options.cases else case.effort <= options.effort)]
    results = carry_out(cases, options.effort, options.scale, options.old, options.out, tell)
    tell("done")
    _write(results, options.out, options.effort)
    for failure in results.failures():
        print(f"bench: {failure}", file=sys.stderr)
    worse = results.worse(options.tolerance)
    if options.old is not None:
        print("\n".join([f"Worse than {options.old}:", *worse]) if worse else "Nothing got worse.")
    return 1 if worse or results.failures() else 0


def _write(results: Results, out: Path, effort: Effort) -> None:
    # Takes half a second to import, for which no other process of the run has to wait.
    from benchmark import plot

    table, facts = results.table(), machine.description()
    print(f"\n{table}")
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    found = {"taken": taken, "effort": effort.name.lower(), "machine": facts, "figures": results.as_json()}
    (out / "results.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    (out / "table.txt").write_text(table)
    plot.draw(results, out, f"{facts['machine']}, Python {facts['python']}")
    print(f"Written to {out}: results.json, table.txt, plot.png, plot.svg")


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {case.name:<10}{case.about} ({case.effort.name.lower()})" for case in CASES]
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measures what the server costs beside a plain Starlette WebSocket endpoint.",
        epilog="\n".join(["cases, and what contains them when none is named:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    how_much = parser.add_mutually_exclusive_group()
    about = "a bit over two minutes: one round, few cases"
    how_much.add_argument("--quick", dest="effort", action="store_const", const=Effort.QUICK, help=about)
    how_much.add_argument("--large", dest="effort", action="store_const", const=Effort.LARGE, help="all cases")
    parser.add_argument(
        "--cases",
        nargs="+",
        choices=[case.name for case in CASES],
        metavar="CASE",
        help="only these, whatever contains them",
    )
    parser.add_argument(
        "--old", type=lambda text: Path(text).resolve(), metavar="FOLDER", help="measure that checkout's server as well"
    )
    parser.add_argument(
        "--tolerance", type=float, default=0.25, metavar="PART", help="what counts as worse (0.25: by a quarter)"
    )
    parser.add_argument("--scale", type=float, default=1.0, metavar="TIMES", help="so many times the users")
    parser.add_argument(
        "--out", type=Path, default=Path("build/bench"), metavar="FOLDER", help="where to write (default: build/bench)"
    )
    parser.set_defaults(effort=Effort.DEFAULT)
    return parser


if __name__ == "__main__":
    sys.exit(main())
