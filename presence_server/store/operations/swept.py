"""`swept.lua`: after sweeps, say when each team must be looked at next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

NAME = "swept"


class Next(NamedTuple):
    """What comes after a sweep.

    Attributes:
        team: which.
        stamp: of the burials that were carried out; 0 for none.
        next_ms: when to look again, by Redis's clock; 0 for never.
    """

    team: str
    stamp: int
    next_ms: int


def encode(claimed_until: int, teams: Iterable[Next]) -> list[str | int]:
    """Flatten the entries."""
    return [claimed_until, *(part for entry in teams for part in entry)]
