"""Plays a schedule of people and faults, and says whether the contract was kept.

Exit status: 0, it was; 1, it was not; 2, the arguments are wrong; 3, the machine was too busy to say.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from reliability.faults import FAULTS
from reliability.oracle.spans import total_ms
from reliability.report import report
from reliability.run import Outcome, judge_again, play
from reliability.schedule import ENTRY_S, Schedule, draw
from reliability.shrink import shrink
from reliability.table import People, failed, run_all, write
from reliability.topologies import TOPOLOGIES

# A machine that was too busy for more of the run than this has not shown that all went well.
_TOO_BUSY: Final = 0.25


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    options = _options(arguments)
    # Ended by a signal, it must not leave its servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.out.mkdir(parents=True, exist_ok=True)
    if options.table is not None:
        return _make_table(options)
    if options.judge:
        outcome = judge_again(options.out)
        print(report(outcome))
        return status(outcome)
    schedule = draw(
        options.seed,
        users=options.users,
        workers=options.workers,
        duration_s=options.duration,
        faults=_faults(options.faults, [options.topology]),
        mixed=options.mixed,
    )
    outcome = play(schedule, options.topology, options.out, _tell())
    print(f"{options.topology}, seed {options.seed}, {options.users} users, {options.workers} workers")
    print(report(outcome), flush=True)
    if options.shrink and outcome.verdict.findings:
        _shrink(schedule, outcome, options)
    return status(outcome)


def _make_table(options: argparse.Namespace) -> int:
    topologies = [options.topology] if options.topology_named else [*TOPOLOGIES]
    faults = _faults(options.faults, topologies)
    people = People(options.users, options.workers)
    rows = run_all(topologies, faults, options.table, people, options.out, options.jobs, _tell())
    write(rows)
    return 1 if any(map(failed, rows)) else 0


def _shrink(schedule: Schedule, outcome: Outcome, options: argparse.Namespace) -> None:
    kinds = {finding.kind for finding in outcome.verdict.findings}
    tell = _tell()

    def fails(candidate: Schedule) -> bool:
        found = play(candidate, options.topology, options.out, lambda _: None).verdict.findings
        again = any(finding.kind in kinds for finding in found)
        size = f"{len(candidate.hits)} faults, {len(candidate.users())} users, {len(candidate.steps)} steps"
        tell(f"{'fails' if again else 'passes'}: {size}")
        return again

    # What came after the last finding has nothing to do with it.
    last_ms = max(finding.span.end for finding in outcome.verdict.findings) - outcome.record.span.start
    duration_s = min(schedule.duration_s, ENTRY_S + last_ms / 1000 + 2)
    least = shrink(schedule.until(duration_s), fails, options.shrink)
    print("\nThe least that was found to fail:")
    for hit in least.hits:
        print(f"  {hit.at_s:6.2f} s  {hit.fault} for {hit.for_s:.1f} s")
    for step in least.steps:
        print(f"  {step.at_s:6.2f} s  {least.places[step.place].name} {step.action}")


def status(outcome: Outcome) -> int:
    """The exit status of a run."""
    if outcome.verdict.findings:
        return 1
    return 3 if outcome.verdict.busy_ms > _TOO_BUSY * total_ms([outcome.record.span]) else 0


def _faults(named: Sequence[str], topologies: Sequence[str]) -> list[str]:
    """The names of faults that are meant; `all` are those that a topology can have."""
    possible = [name for name, fault in FAULTS.items() if not {*topologies}.isdisjoint(fault.topologies)]
    if "all" in named:
        return possible
    return [] if "none" in named else list(named)


def _tell() -> Callable[[str], None]:
    started_s = time.monotonic()
    return lambda what: print(f"{time.monotonic() - started_s:5.0f} s  {what}", file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    lines = [f"  {fault.name:<20}{fault.about}" for fault in FAULTS.values()]
    parser = argparse.ArgumentParser(
        prog="chaos",
        description="Plays people, faults and time on real workers behind a real balancer, and judges what people saw.",
        epilog="\n".join(["faults:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--topology", choices=TOPOLOGIES, help="how Redis is set up (single; --table: each)")
    parser.add_argument(
        "--faults",
        nargs="+",
        choices=["all", "none", *FAULTS],
        default=["all"],
        metavar="FAULT",
        help="which faults, each in its turn; all, or none (all)",
    )
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the schedule (by chance)")
    parser.add_argument("--duration", type=float, default=60.0, metavar="S", help="seconds (60)")
    parser.add_argument("--users", type=int, default=120, help="how many people (120)")
    parser.add_argument("--workers", type=int, default=3, help="how many workers (3)")
    parser.add_argument("--out", type=Path, default=Path("build/chaos"), help="where logs go (build/chaos)")
    parser.add_argument("--mixed", action="store_true", help="let faults overlap")
    more = parser.add_mutually_exclusive_group()
    more.add_argument("--judge", action="store_true", help="play nothing: judge again what --out has of a run before")
    more.add_argument(
        "--shrink",
        type=int,
        nargs="?",
        const=40,
        default=0,
        metavar="RUNS",
        help="find the least that fails, in so many runs (40)",
    )
    more.add_argument(
        "--table",
        type=int,
        nargs="?",
        const=5,
        metavar="SEEDS",
        help="play each fault alone, by so many seeds (5), unless --out has it already; write docs/reliability.md",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="RUNS", help="--table: so many runs side by side (1)")
    options = parser.parse_args(arguments)
    topologies = [options.topology or "single"] if options.table is None else [*TOPOLOGIES]
    if impossible := {*options.faults} - {"all", "none", *_faults(["all"], topologies)}:
        parser.error(f"Expected faults that {' or '.join(topologies)} can have, got {', '.join(sorted(impossible))}")
    options.topology_named, options.topology = options.topology is not None, options.topology or "single"
    return options


if __name__ == "__main__":
    sys.exit(main())
