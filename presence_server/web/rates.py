"""How often one user may do something here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from presence_server import errors
from presence_server.core.bucket import Rate, TokenBucket, milliseconds_until

REQUESTS: Final = Rate(per_s=50.0, burst=200.0)
WRITES: Final = Rate(per_s=5.0, burst=50.0)
CONNECTS: Final = Rate(per_s=2.0, burst=60.0)
"""Of hellos and renewals: twenty tabs that come back at once, three times over, and then one every half second."""


class Rates:
    """A token bucket for each subject.

    A bucket left alone for as long as it takes to fill has nothing to remember. Buckets are therefore kept in two
    generations of at least that long; the older one is dropped whole when the newer one is full-grown. What is kept is
    bounded by the subjects of two such periods, and only verified tokens make any.

    Args:
        rate: how often.
        what: is counted, in the plural, for the text of errors.
        error: what to raise.
        clock: a monotonic clock, seconds.
    """

    def __init__(
        self,
        rate: Rate = REQUESTS,
        what: str = "requests",
        *,
        error: type[errors.RateLimited] = errors.RateLimited,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._what = what
        self._error = error
        self._clock = clock
        self._newer: dict[str, TokenBucket] = {}
        self._older: dict[str, TokenBucket] = {}
        self._since_s = clock()

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def spend(self, subject: str) -> None:
        """Count one of the subject's.

        Raises:
            errors.RateLimited: it is empty; `retry_ms` says when it will not be.
        """
        now_s = self._clock()
        self._age(now_s)
        bucket = self._newer.get(subject)
        if bucket is None:
            bucket = self._older.pop(subject) if subject in self._older else TokenBucket(self._rate, now_s)
            self._newer[subject] = bucket
        if wait_s := bucket.spend(self._rate, now_s):
            raise self._error(
                f"Expected at most {self._rate.per_s:.0f} {self._what} a second, got more", milliseconds_until(wait_s)
            )

    def _age(self, now_s: float) -> None:
        age_s = now_s - self._since_s
        if age_s >= self._rate.fills_s:
            # After twice that, even the newer generation is full of full buckets.
            self._older = self._newer if age_s < 2 * self._rate.fills_s else {}
            self._newer = {}
            self._since_s = now_s
