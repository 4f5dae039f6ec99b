"""`new_epoch.lua`: begin an epoch, because histories have forked."""

from __future__ import annotations

from typing import NamedTuple

NAME = "new_epoch"


class NewEpoch(NamedTuple):
    """What was found.

    Attributes:
        word: a random one.
        wanting: the epoch to replace; another one is left alone.
        seen_version: the highest version that was seen in it.
    """

    word: str
    wanting: str
    seen_version: int
