"""When the next pipeline may go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

# Under sustained load a pipeline goes every 25 ms; after quiet so many go at once.
PIPELINES_PER_S: Final = 40.0
AT_ONCE: Final = 8.0


class Pace:
    """Lets pipelines go at once after quiet, and makes them wait for company under load.

    A pipeline wakes both processes up, which costs several times what one more command in it does.

    Args:
        clock: a monotonic clock, seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._credit = AT_ONCE
        self._seen_s = clock()

    async def wait(self, *, full: bool) -> None:
        """Wait until the next pipeline may go; one that is full may at once."""
        while True:
            now_s = self._clock()
            self._credit = min(AT_ONCE, self._credit + (now_s - self._seen_s) * PIPELINES_PER_S)
            self._seen_s = now_s
            if full or self._credit >= 1.0:
                self._credit = max(0.0, self._credit - 1.0)
                return
            await asyncio.sleep((1.0 - self._credit) / PIPELINES_PER_S)
