"""`enlist.lua`: put a worker on record for teams, or take it off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NAME = "enlist"
AT_ONCE = 500


class Enlist(NamedTuple):
    """A change of a worker's record.

    Attributes:
        worker: its name.
        before: the number of its last change that the index acknowledged.
        number: of this one.
        whole: whether `added` is all of its record.
        added, removed: teams.
    """

    worker: str
    before: int
    number: int
    whole: bool
    added: Sequence[str]
    removed: Sequence[str]


def encode(enlist: Enlist) -> list[str | int]:
    """Flatten the input."""
    worker, before, number, whole, added, removed = enlist
    return [worker, before, number, int(whole), len(added), *added, *removed]
