"""Ids of teams, users and sessions (section 1 of the contract)."""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}"

# ASCII, because \w and friends are not used but a str pattern would still fold case by Unicode under flags.
_FULL: Final = re.compile(PATTERN, re.ASCII)


def is_id(value: object) -> bool:
    """Tell whether `value` is a well-formed id: a string of 1 to 128 characters of the allowed set."""
    return isinstance(value, str) and _FULL.fullmatch(value) is not None
