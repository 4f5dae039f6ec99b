"""`touch.lua`: tell input of users who may be offline by now (rule 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

NAME = "touch"


class Input(NamedTuple):
    """One user's latest input: an instant by Redis's clock."""

    user: str
    at_ms: int


def encode(word: str, inputs: Iterable[Input]) -> list[str | int]:
    """Flatten the entries."""
    return [word, *(part for entry in inputs for part in entry)]
