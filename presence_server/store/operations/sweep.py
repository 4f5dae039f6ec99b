"""`sweep.lua`: bury whom the index says, then look at the users whose deadline has come (rule 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from presence_server.store.types import Burial, Reply, Swept

NAME = "sweep"
AT_ONCE = 50


class Sweep(NamedTuple):
    """What a sweep has to know.

    Attributes:
        word: a random one.
        set_back: whether Redis's clock was set back: instants in the future are bounded.
        burials: the index's orders.
        gaps: intervals in which nobody swept.
    """

    word: str
    set_back: bool
    burials: Sequence[Burial]
    gaps: Sequence[tuple[int, int]]


def encode(sweep: Sweep) -> list[str | int]:
    """Flatten the input."""
    orders = [part for burial in sweep.burials for part in burial]
    gaps = [instant for gap in sweep.gaps for instant in gap]
    return [sweep.word, AT_ONCE, int(sweep.set_back), len(sweep.burials), *orders, *gaps]


def decode(reply: Reply) -> Swept:
    """Read the results."""
    early, more, lag_ms, next_ms, deferred = map(int, reply.results)
    return Swept(bool(early), bool(more), reply.changed, lag_ms, next_ms, deferred)
