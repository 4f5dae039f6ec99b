"""The token bucket, held against one that counts in whole 64ths of a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from presence_server.core.bucket import Rate, TokenBucket, milliseconds_until

RATE = Rate(per_s=4.0, burst=8.0)


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(RATE, 100.0)
    assert [bucket.spend(RATE, 100.0) for _ in range(9)] == [0.0] * 8 + [0.25]
    assert bucket.spend(RATE, 100.25) == 0.0
    assert bucket.left(RATE, 100.0 + RATE.fills_s) == 7.0
    assert bucket.left(RATE, 1_000.0) == RATE.burst


def test_what_costs_more_waits_longer_and_takes_nothing_while_it_waits() -> None:
    bucket = TokenBucket(RATE, 0.0)
    assert bucket.spend(RATE, 0.0, 6.0) == 0.0
    assert bucket.spend(RATE, 0.0, 6.0) == 1.0
    assert bucket.spend(RATE, 0.0, 2.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 640), st.integers(1, 8)), max_size=60))
def test_it_is_exact(steps: list[tuple[int, int]]) -> None:
    bucket, level, now = TokenBucket(RATE, 0.0), 8 * 64, 0
    for gap, tokens in steps:
        now += gap
        level = min(8 * 64, level + 4 * gap)
        wait_s = bucket.spend(RATE, now / 64, tokens)
        if level >= tokens * 64:
            level -= tokens * 64
            assert wait_s == 0.0
        else:
            assert wait_s == (tokens * 64 - level) / 64 / 4


@given(st.floats(0.0001, 3600.0))
def test_a_wait_in_milliseconds_is_long_enough(wait_s: float) -> None:
    assert wait_s < milliseconds_until(wait_s) / 1000 <= wait_s + 0.0011
