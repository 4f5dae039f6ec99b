"""Adding up what several processes have counted. No I/O, and no names of teams or users either."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

Family = Sequence[Any]
"""One metric: name, type, help, and samples, each a list of name, labels and value. It goes through JSON as it is."""

RESTARTS: Final = "presence_worker_restarts"
"""Counts what only the supervisor knows; in a process's own report it is 0."""

LEASE_AGE: Final = "presence_lease_age_seconds"
"""Of all processes the oldest is told."""

# Their sum would mean nothing: they are the same for all, instants, or ages.
_NOT_ADDED: Final = {"python_info": max, "process_start_time_seconds": min, LEASE_AGE: max}


def add(reports: Iterable[Iterable[Family]]) -> list[Family]:
    """Add reports up: samples of the same name and labels become one.

    Args:
        reports: the families of each process.
    """
    families: dict[str, tuple[str, str, dict[Any, list[Any]]]] = {}
    for report in reports:
        for name, kind, text, samples in report:
            found = families.setdefault(name, (kind, text, {}))[2]
            choose = _NOT_ADDED.get(name)
            for sample, labels, value in samples:
                entry = found.setdefault((sample, *sorted(labels.items())), [sample, labels, None])
                if entry[2] is None:
                    entry[2] = value
                else:
                    entry[2] = choose(entry[2], value) if choose else entry[2] + value
    return [(name, kind, text, list(found.values())) for name, (kind, text, found) in families.items()]


def lasting(report: Iterable[Family]) -> list[Family]:
    """What stays of a process that has ended: its counts, so that no total ever falls, but not what it held."""
    return [family for family in report if family[1] in ("counter", "histogram")]


def restarts(count: int) -> list[Family]:
    """The supervisor's own report."""
    return [(RESTARTS, "counter", "", [(f"{RESTARTS}_total", {}, count)])]
