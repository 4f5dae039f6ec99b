"""`doubt.lua`: report workers that were found in teams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

NAME = "doubt"


class Doubt(NamedTuple):
    """A worker found in a team, with the last number seen of it there."""

    worker: str
    team: str
    last: int


def encode(doubts: Iterable[Doubt]) -> list[str | int]:
    """Flatten the entries."""
    return [part for doubt in doubts for part in doubt]
