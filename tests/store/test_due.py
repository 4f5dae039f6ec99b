"""The index of due teams: a write is only left out where an earlier one still does."""

from __future__ import annotations

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from presence_server.store.due import MARGIN_MS, DueIndex
from presence_server.store.link import Command

NOW_MS = 1_763_800_000_000


def written(due_ms: int, team: str = "acme") -> Command:
    return ("ZADD", "p:{due}:teams", "LT", due_ms, team)


@pytest.fixture
def index() -> DueIndex:
    return DueIndex("p:{due}")


def test_the_first_time_a_team_is_written(index: DueIndex) -> None:
    assert index.entry("acme", NOW_MS + 20_000, NOW_MS) == written(NOW_MS + 20_000)
    assert index.entry("globex", NOW_MS + 30_000, NOW_MS) == written(NOW_MS + 30_000, "globex")


def test_while_that_stands_a_later_one_is_left_out(index: DueIndex) -> None:
    index.entry("acme", NOW_MS + 20_000, NOW_MS)
    assert index.entry("acme", NOW_MS + 20_000, NOW_MS) is None
    assert index.entry("acme", NOW_MS + 25_000, NOW_MS + 5_000) is None


def test_an_earlier_one_is_written(index: DueIndex) -> None:
    index.entry("acme", NOW_MS + 20_000, NOW_MS)
    assert index.entry("acme", NOW_MS + 19_999, NOW_MS) == written(NOW_MS + 19_999)
    assert index.entry("acme", NOW_MS + 19_999, NOW_MS) is None


@pytest.mark.parametrize(("left_ms", "relied_on"), [(MARGIN_MS + 1, True), (MARGIN_MS, False), (0, False), (-1, False)])
def test_one_that_has_come_or_is_about_to_is_not_relied_on(index: DueIndex, left_ms: int, relied_on: bool) -> None:
    index.entry("acme", NOW_MS, NOW_MS - 20_000)
    assert index.entry("acme", NOW_MS + 20_000, NOW_MS - left_ms) == (None if relied_on else written(NOW_MS + 20_000))


def test_what_redis_may_have_lost_is_written_again(index: DueIndex) -> None:
    index.entry("acme", NOW_MS + 20_000, NOW_MS)
    index.forget()
    assert index.entry("acme", NOW_MS + 20_000, NOW_MS) == written(NOW_MS + 20_000)


def test_what_is_past_is_forgotten_and_what_is_to_come_is_not(index: DueIndex) -> None:
    index.entry("acme", NOW_MS + 1_000, NOW_MS)
    index.entry("globex", NOW_MS + 20_000, NOW_MS)
    index.forget_past(NOW_MS + 1_000)
    # Asked as of before: had it been kept, it would suffice.
    assert index.entry("acme", NOW_MS + 1_000, NOW_MS) == written(NOW_MS + 1_000)
    assert index.entry("globex", NOW_MS + 20_000, NOW_MS) is None


def test_redis_keeps_the_earliest(client: redis.Redis, key_prefix: str) -> None:
    index = DueIndex(f"{key_prefix}:{{due}}")
    for due_ms in (NOW_MS + 2_000, NOW_MS + 1_000, NOW_MS + 3_000):
        client.execute_command(*index.command("acme", due_ms))  # type: ignore[no-untyped-call]
    assert client.zscore(f"{key_prefix}:{{due}}:teams", "acme") == NOW_MS + 1_000


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), st.sampled_from(["acme", "globex"]), st.integers(0, 40_000)),
        st.tuples(st.just("pass"), st.just(""), st.integers(0, 30_000)),
        st.tuples(st.sampled_from(["forget", "forget past"]), st.just(""), st.just(0)),
    ),
    max_size=40,
)


@given(steps=STEPS, ahead_ms=st.integers(-MARGIN_MS, MARGIN_MS))
def test_somebody_looks_at_every_team_in_time(steps: list[tuple[str, str, int]], ahead_ms: int) -> None:
    """As long as this worker's idea of Redis's clock is off by no more than the margin."""
    index = DueIndex("p:{due}")
    redis_ms = NOW_MS
    scores: dict[str, int] = {}
    wanted: dict[str, set[int]] = {"acme": set(), "globex": set()}
    for step, team, ms in steps:
        now_ms = redis_ms + ahead_ms
        if step == "want":
            command = index.entry(team, redis_ms + ms, now_ms)
            if command is not None:
                due_ms = command[3]
                assert command == written(due_ms, team)
                scores[team] = min(due_ms, scores.get(team, due_ms))
            wanted[team].add(redis_ms + ms)
            assert scores[team] <= redis_ms + ms
        elif step == "pass":
            redis_ms += ms
            # Whoever sweeps a team that is due puts it back by the earliest deadline that is left.
            for swept in [team for team, due_ms in scores.items() if due_ms <= redis_ms]:
                del scores[swept]
                if left := [due_ms for due_ms in wanted[swept] if due_ms > redis_ms]:
                    scores[swept] = min(left)
        elif step == "forget":
            index.forget()
        else:
            index.forget_past(now_ms)
