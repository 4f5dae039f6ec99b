"""The rate limit of section 5: 10 messages a second, bursts of 50; the hundredth dropped within a minute ends it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from presence_server import errors
from presence_server.core.connection import ConnectionCore, RateBroken, RateLimit, Rejected, State
from presence_server.core.messages import Heartbeat

HEARTBEAT = b'{"type":"heartbeat","idle_ms":0}'

# Time in 64ths of a second, which floats hold exactly: on a boundary, no rounding decides.
SECOND = 64
MINUTE = 60 * SECOND

GAPS = st.one_of(
    st.just(0), st.integers(0, 20), st.sampled_from([319, 320, 321, MINUTE - 1, MINUTE, MINUTE + 1, 2 * MINUTE])
)
BURSTS = st.one_of(st.integers(1, 3), st.integers(45, 55), st.integers(95, 160))


class Bucket:
    """Section 5 in whole 64ths of a token: a full bucket of 50 tokens that gains ten a second."""

    def __init__(self) -> None:
        self.level = 50 * 64
        self.seen = 0
        self.dropped: list[int] = []

    def take(self, now: int) -> str:
        self.level = min(50 * 64, self.level + 10 * (now - self.seen))
        self.seen = now
        if self.level >= 64:
            self.level -= 64
            return "passed"
        self.dropped.append(now)
        return "broken" if len([at for at in self.dropped if at > now - MINUTE]) >= 100 else "dropped"


def outcome(connection: ConnectionCore, now: int) -> str:
    try:
        connection.receive(HEARTBEAT, now / SECOND)
    except RateBroken:
        return "broken"
    except Rejected as exc:
        error = exc.error
        return "dropped" if isinstance(error, errors.RateLimited) and 1 <= error.retry_ms <= 101 else "badly advised"
    return "passed"


def open_connection() -> ConnectionCore:
    connection = ConnectionCore(0.0)
    connection.state = State.OPEN
    return connection


@given(st.lists(st.tuples(GAPS, BURSTS), max_size=15))
def test_it_is_the_contracts_bucket(bursts: list[tuple[int, int]]) -> None:
    connection, bucket, now = open_connection(), Bucket(), 0
    for gap, count in bursts:
        now += gap
        for _ in range(count):
            expected = bucket.take(now)
            assert outcome(connection, now) == expected
            if expected == "broken":
                return


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 60)), min_size=1, max_size=10))
def test_no_stretch_of_time_lets_more_pass_than_a_burst_and_ten_a_second(bursts: list[tuple[int, int]]) -> None:
    connection, now = open_connection(), 0
    passed: list[tuple[int, int]] = []
    for gap, count in bursts:
        now += gap
        passed.append((now, [outcome(connection, now) for _ in range(count)].count("passed")))
    for first, (start, _) in enumerate(passed):
        for last in range(first, len(passed)):
            most = 50 + 10 * (passed[last][0] - start) / SECOND
            assert sum(count for _, count in passed[first : last + 1]) <= most


def test_who_keeps_to_ten_a_second_is_never_limited() -> None:
    connection = open_connection()
    # Unlike 64ths, tenths are not exact: a rounding error may make a bucket, but never empties it.
    heard = [connection.receive(HEARTBEAT, 1_000_000 + tenth / 10) for tenth in range(2_000)]
    assert heard == [Heartbeat(0)] * 2_000


def test_who_keeps_quiet_carries_no_state() -> None:
    connection = open_connection()
    for now in (0, 10, 20):
        connection.receive(HEARTBEAT, now)
    assert limit_of(connection) is None
    connection.receive(HEARTBEAT, 20.05)
    assert limit_of(connection) is not None
    connection.receive(HEARTBEAT, 20.9)
    assert limit_of(connection) is None


def test_what_was_dropped_is_remembered_for_a_minute() -> None:
    connection = open_connection()
    assert [outcome(connection, 0) for _ in range(149)].count("dropped") == 99
    assert outcome(connection, MINUTE - 1) == "passed"
    assert limit_of(connection) is not None
    assert [outcome(connection, MINUTE - 1) for _ in range(50)] == ["passed"] * 49 + ["broken"]


def test_a_minute_later_it_is_forgotten() -> None:
    connection = open_connection()
    assert [outcome(connection, 0) for _ in range(149)].count("dropped") == 99
    assert [outcome(connection, MINUTE) for _ in range(50)] == ["passed"] * 50
    assert [outcome(connection, MINUTE) for _ in range(100)] == ["dropped"] * 99 + ["broken"]


def limit_of(connection: Any) -> RateLimit | None:
    found = connection._rate
    assert found is None or isinstance(found, RateLimit)
    return found


def test_retry_ms_is_when_the_next_one_passes() -> None:
    limit = RateLimit(0.0)
    assert [limit.spend(0.0) for _ in range(49)] == [None] * 49
    limited = limit.spend(0.04)
    assert limited is not None
    assert limited.retry_ms == 61
    assert limit.spend(0.04 + 0.061) is None
