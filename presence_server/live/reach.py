"""What the log says of Redis within reach and out of it: once for all partitions that go through the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

# Partitions of a shard come and go together, within this.
_TOGETHER_S: Final = 0.5
# And go through what follows at most so far apart.
_ALIKE_S: Final = 5.0
# How much is remembered of what was said; a refusal may name something else each time.
_REMEMBERED: Final = 100

logger: Final = logging.getLogger(__name__)


class Reach:
    """Reports on partitions.

    Args:
        count: tells how many partitions there are, and how many of them are within reach.
    """

    def __init__(self, count: Callable[[], tuple[int, int]]) -> None:
        self._count = count
        self._why = ""
        self._timer: asyncio.TimerHandle | None = None
        self._said_s: dict[str, float] = {}

    def say(self, level: int, text: str) -> None:
        """Log what befell a partition, unless it has just befallen another."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._said_s.get(text, -_ALIKE_S) < _ALIKE_S:
            return
        if len(self._said_s) >= _REMEMBERED:
            self._said_s.clear()
        self._said_s[text] = now_s
        logger.log(level, text)

    def changed(self, why: str) -> None:
        """A partition is within reach, or is not and why."""
        self._why = why or self._why
        if self._count()[0] == 1:
            self._tell()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TOGETHER_S, self._tell)

    def close(self) -> None:
        """Nothing more is reported."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        self._timer = None
        count, live = self._count()
        why, self._why = self._why, ""
        if live == count:
            logger.info("Redis within reach, statuses are fresh")
        elif count == 1:
            logger.warning("Redis out of reach: %s", why)
        else:
            logger.warning("Redis within reach of %d of %d partitions: %s", live, count, why)
