"""What the log says of Redis within reach and out of it: once for all partitions that go through the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

# Partitions of a shard come and go together, within this.
_TOGETHER_S: Final = 0.5

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
