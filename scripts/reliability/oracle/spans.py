"""Sets of instants as sorted, disjoint, half-open spans of milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

FOREVER: Final = 10**15


class Span(NamedTuple):
    """From `start` up to, not including, `end`; milliseconds."""

    start: int
    end: int


def union(spans: Iterable[Span]) -> list[Span]:
    """All instants in any of `spans`, which may be in any order, overlap or be empty."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if found and start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, end))
        else:
            found.append(Span(start, end))
    return found


def common(left: Sequence[Span], right: Sequence[Span]) -> list[Span]:
    """All instants in both; either must be sorted and disjoint."""
    found: list[Span] = []
    at_left = at_right = 0
    while at_left < len(left) and at_right < len(right):
        a, b = left[at_left], right[at_right]
        start, end = max(a.start, b.start), min(a.end, b.end)
        if start < end:
            found.append(Span(start, end))
        if a.end <= b.end:
            at_left += 1
        else:
            at_right += 1
    return found


def without(spans: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """All instants of `spans` that are not in `taken`; both sorted and disjoint."""
    return common(spans, complement(taken))


def complement(spans: Sequence[Span]) -> list[Span]:
    """All instants that are not in `spans`, which must be sorted and disjoint."""
    found: list[Span] = []
    start = -FOREVER
    for span in spans:
        if start < span.start:
            found.append(Span(start, span.start))
        start = span.end
    if start < FOREVER:
        found.append(Span(start, FOREVER))
    return found


def prolonged(spans: Iterable[Span], until: Callable[[int], int]) -> list[Span]:
    """Each span up to `until` of its end."""
    return union(Span(start, until(end) if end < FOREVER else end) for start, end in spans)


def total_ms(spans: Iterable[Span]) -> int:
    return sum(end - start for start, end in spans)


def covers(spans: Iterable[Span], instant: int) -> bool:
    return any(start <= instant < end for start, end in spans)
