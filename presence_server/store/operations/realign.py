"""`realign.lua`: bring a team's users into line after its settings changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NAME = "realign"
AT_ONCE = 50


class Realign(NamedTuple):
    """Which users are next.

    Attributes:
        word: a random one.
        cursor: the version up to which users have been looked at.
        gaps: intervals in which nobody swept.
    """

    word: str
    cursor: int
    gaps: Sequence[tuple[int, int]]


def encode(realign: Realign) -> list[str | int]:
    """Flatten the input."""
    return [realign.word, realign.cursor, AT_ONCE, *(instant for gap in realign.gaps for instant in gap)]
