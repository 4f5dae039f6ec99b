"""How much is tried: `scripts/test --long` sets ``PRESENCE_TEST_LONG`` for more examples, and tests marked `long`."""

from __future__ import annotations

import os

LONG = bool(os.environ.get("PRESENCE_TEST_LONG"))

_MORE = 10


def examples(count: int) -> int:
    """How many examples hypothesis is to try where a fault would be found by `count`, nearly always."""
    return count * _MORE if LONG else count
