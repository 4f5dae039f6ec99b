"""Finds the least of a schedule that still fails, by leaving out one part after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from reliability.schedule import Schedule

T = TypeVar("T")


class _Spent(Exception):
    """No further run may be made."""


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool], runs: int) -> Schedule:
    """Leave out faults, then users, then what the others do, as long as what is left fails.

    Args:
        fails: plays a schedule, and tells whether it fails; one that fails now and then keeps more than it must.
        runs: how many it may play.
    """
    best = schedule
    left = runs

    def still_fails(candidate: Schedule) -> bool:
        nonlocal best, left
        if not left:
            raise _Spent
        left -= 1
        failed = fails(candidate)
        if failed:
            best = candidate
        return failed

    try:
        least(schedule.hits, lambda hits: still_fails(replace(best, hits=tuple(hits))))
        least(best.users(), lambda users: still_fails(best.of(frozenset(users))))
        least(best.steps, lambda steps: still_fails(replace(best, steps=tuple(steps))))
    except _Spent:
        pass
    return best


def least(parts: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """Leave out ever smaller pieces of something as long as what is left fails (delta debugging, Zeller 1999)."""
    size = len(parts)
    while size >= 1:
        at = 0
        while at < len(parts):
            candidate = [*parts[:at], *parts[at + size :]]
            if fails(candidate):
                parts = candidate
            else:
                at += size
        size //= 2
    return parts
