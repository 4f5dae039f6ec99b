"""The token buckets of the HTTP API, by a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server import errors
from presence_server.web.rates import REQUESTS, Rates


class Clock:
    def __init__(self) -> None:
        self.now_s = 500.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> Rates:
    return Rates(clock=clock)


def spent(rates: Rates, subject: str, attempts: int) -> int:
    """How many of so many attempts pass."""
    passed = 0
    for _ in range(attempts):
        try:
            rates.spend(subject)
        except errors.RateLimited:
            continue
        passed += 1
    return passed


def test_a_burst_and_then_the_rate(rates: Rates, clock: Clock) -> None:
    assert spent(rates, "maria", 300) == REQUESTS.burst
    clock.now_s += 1
    assert spent(rates, "maria", 300) == REQUESTS.per_s
    clock.now_s += 3600
    assert spent(rates, "maria", 300) == REQUESTS.burst


def test_retry_says_when(rates: Rates, clock: Clock) -> None:
    spent(rates, "maria", 200)
    with pytest.raises(errors.RateLimited, match="Expected at most 50 requests a second, got more") as raised:
        rates.spend("maria")
    assert raised.value.retry_ms == 21
    clock.now_s += 0.0199
    with pytest.raises(errors.RateLimited):
        rates.spend("maria")
    clock.now_s += 0.0012
    rates.spend("maria")


def test_subjects_are_apart(rates: Rates) -> None:
    assert spent(rates, "maria", 300) == REQUESTS.burst
    assert spent(rates, "juan", 300) == REQUESTS.burst


def test_attempts_that_are_refused_cost_nothing(rates: Rates, clock: Clock) -> None:
    spent(rates, "maria", 10_000)
    clock.now_s += 1
    assert spent(rates, "maria", 1) == 1


@pytest.mark.parametrize("step_s", [0.3, 1.0, 3.9, 4.0, 7.9])
def test_ageing_gives_nothing_away(clock: Clock, rates: Rates, step_s: float) -> None:
    """Buckets move from generation to generation with what they hold."""
    spent(rates, "maria", 200)
    for _ in range(40):
        clock.now_s += step_s
        assert spent(rates, "maria", 300) == pytest.approx(min(REQUESTS.burst, step_s * REQUESTS.per_s), abs=1)


def test_who_stays_away_is_forgotten(clock: Clock, rates: Rates) -> None:
    for second in range(100):
        clock.now_s += 1
        for number in range(10):
            rates.spend(f"user-{second}-{number}")
        assert len(rates) <= 10 * 2 * REQUESTS.fills_s
    clock.now_s += 100
    rates.spend("maria")
    assert len(rates) == 1


@given(steps=st.lists(st.tuples(st.floats(0, 10), st.integers(0, 250)), max_size=30))
def test_no_pattern_of_requests_beats_the_bucket(steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    rates = Rates(clock=clock)
    left = REQUESTS.burst
    for pause_s, attempts in steps:
        clock.now_s += pause_s
        left = min(REQUESTS.burst, left + pause_s * REQUESTS.per_s)
        passed = spent(rates, "maria", attempts)
        assert passed <= left + 1e-6
        assert passed >= min(attempts, int(left - 1e-6))
        left -= passed
