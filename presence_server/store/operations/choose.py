"""`choose.lua`: set chosen statuses (rules 2, 3 and 5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

NAME = "choose"


class Choice(NamedTuple):
    """One choice.

    Attributes:
        user: for whom.
        status: `online` or `busy`.
        at_ms: when, by Redis's clock.
        by: who chose; anybody but himself is an administrator.
    """

    user: str
    status: str
    at_ms: int
    by: str


def encode(choices: Iterable[Choice]) -> list[str | int]:
    """Flatten the entries."""
    return [part for choice in choices for part in choice]
