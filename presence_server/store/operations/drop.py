"""`drop.lua`: after everything was told anew, forgive what else stands under the worker's name (rule 6)."""

from __future__ import annotations

from typing import NamedTuple

NAME = "drop"
AT_ONCE = 50


class Drop(NamedTuple):
    """What to forgive.

    Attributes:
        below: holds of writes below this number.
        at_most: of how many users at once.
    """

    below: int
    at_most: int = AT_ONCE
