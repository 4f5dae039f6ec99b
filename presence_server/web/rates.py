"""How often one subject may call the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from presence_server import errors

RATE_PER_S: Final = 50.0
BURST: Final = 200.0


class Rates:
    """A token bucket for each subject, 50 requests a second with bursts of 200.

    A bucket left alone for as long as it takes to fill has nothing to remember. Buckets are therefore kept in two
    generations of at least that long; the older one is dropped whole when the newer one is full-grown. What is kept is
    bounded by the subjects of two such periods, and only verified tokens make any.

    Args:
        clock: a monotonic clock, seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._newer: dict[str, tuple[float, float]] = {}
        self._older: dict[str, tuple[float, float]] = {}
        self._since_s = clock()

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def spend(self, subject: str) -> None:
        """Take one request from the subject's bucket.

        Raises:
            errors.RateLimited: it is empty; `retry_ms` says when it will not be.
        """
        now_s = self._clock()
        self._age(now_s)
        left, seen_s = self._newer.get(subject) or self._older.pop(subject, None) or (BURST, now_s)
        left = min(BURST, left + (now_s - seen_s) * RATE_PER_S)
        if left < 1.0:
            self._newer[subject] = left, now_s
            retry_ms = int((1.0 - left) / RATE_PER_S * 1000) + 1
            raise errors.RateLimited(f"Expected at most {RATE_PER_S:.0f} requests a second, got more", retry_ms)
        self._newer[subject] = left - 1.0, now_s

    def _age(self, now_s: float) -> None:
        age_s = now_s - self._since_s
        if age_s >= BURST / RATE_PER_S:
            # After twice that, even the newer generation is full of full buckets.
            self._older = self._newer if age_s < 2 * BURST / RATE_PER_S else {}
            self._newer = {}
            self._since_s = now_s
