"""What a worker counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from presence_server.live.counters import LATENCY_BOUNDS_S, Counters, Histogram


def test_bounds_are_inclusive_and_the_last_bucket_has_none() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.0, 0.1, 0.100001, 1.0, 1.5, 1e9):
        histogram.observe(seconds)
    assert histogram.counts == [2, 2, 2]
    assert histogram.total == 0.0 + 0.1 + 0.100001 + 1.0 + 1.5 + 1e9


@given(st.lists(st.floats(0, 100)))
def test_each_observation_is_in_one_bucket(observations: list[float]) -> None:
    histogram = Histogram()
    for seconds in observations:
        histogram.observe(seconds)
    assert sum(histogram.counts) == len(observations)
    for number, bound_s in enumerate(LATENCY_BOUNDS_S):
        assert sum(histogram.counts[: number + 1]) == sum(seconds <= bound_s for seconds in observations)


def test_all_begins_at_nothing() -> None:
    counters = Counters()
    for name in Counters.__slots__:
        value = getattr(counters, name)
        if isinstance(value, Histogram):
            assert sum(value.counts) == value.total == 0
        else:
            assert not value
    counters.connections_closed[4001] += 1
    counters.refusals["4503"] += 1
    assert (counters.connections_closed, counters.refusals) == ({4001: 1}, {"4503": 1})
