"""A token bucket: so many a second in the long run, and so many at once."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """How often something may happen.

    Attributes:
        per_s: how often a second, in the long run.
        burst: how often at once, after a quiet time.
    """

    per_s: float
    burst: float

    @property
    def fills_s(self) -> float:
        """After how many seconds of quiet an empty bucket is full."""
        return self.burst / self.per_s


class TokenBucket:
    """Counts against a rate. Full when made; the clock, in seconds, is the caller's and must not go back.

    The rate is an argument of each call, since there may be a hundred thousand buckets and few rates.
    """

    __slots__ = ("_left", "_seen_s")

    def __init__(self, rate: Rate, now_s: float) -> None:
        self._left = rate.burst
        self._seen_s = now_s

    def left(self, rate: Rate, now_s: float) -> float:
        """How many tokens there are."""
        return min(rate.burst, self._left + (now_s - self._seen_s) * rate.per_s)

    def spend(self, rate: Rate, now_s: float, tokens: float = 1.0) -> float:
        """Take tokens, if there are so many.

        Returns:
            0 when they were taken; otherwise after how many seconds there will be enough, and nothing was taken.
        """
        left = self.left(rate, now_s)
        self._seen_s = now_s
        if left >= tokens:
            self._left = left - tokens
            return 0.0
        self._left = left
        return (tokens - left) / rate.per_s


def milliseconds_until(wait_s: float) -> int:
    """A wait in whole milliseconds, after which there will be enough for certain."""
    return int(wait_s * 1000) + 1
