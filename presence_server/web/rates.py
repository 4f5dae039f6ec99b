"""How often one subject may call the HTTP API."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from presence_server import errors
from presence_server.core.bucket import Rate, TokenBucket, milliseconds_until

RATE: Final = Rate(per_s=50.0, burst=200.0)


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
        self._newer: dict[str, TokenBucket] = {}
        self._older: dict[str, TokenBucket] = {}
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
        bucket = self._newer.get(subject)
        if bucket is None:
            bucket = self._older.pop(subject) if subject in self._older else TokenBucket(RATE, now_s)
            self._newer[subject] = bucket
        if wait_s := bucket.spend(RATE, now_s):
            raise errors.RateLimited(
                f"Expected at most {RATE.per_s:.0f} requests a second, got more", milliseconds_until(wait_s)
            )

    def _age(self, now_s: float) -> None:
        age_s = now_s - self._since_s
        if age_s >= RATE.fills_s:
            # After twice that, even the newer generation is full of full buckets.
            self._older = self._newer if age_s < 2 * RATE.fills_s else {}
            self._newer = {}
            self._since_s = now_s
