"""The wheel: each connection is visited once a turn, appointments are kept, and a standstill costs nothing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server.live.wheel import TICK_S, Wheel


class Item:
    """The least that a wheel turns."""

    bucket = 0


def turned(wheel: Wheel[Item], from_s: float, to_s: float, step_s: float = TICK_S) -> Counter[Item]:
    """Who was visited how often while time went on in steps."""
    visits: Counter[Item] = Counter()
    for step in range(1, round((to_s - from_s) / step_s) + 1):
        visits.update(wheel.turn(from_s + step * step_s))
    return visits


@pytest.mark.parametrize("interval_s", [0.5, 1.0, 20.0])
def test_each_is_visited_once_a_turn(interval_s: float) -> None:
    wheel: Wheel[Item] = Wheel(interval_s, 100.0)
    items = [Item() for _ in range(50)]
    for item in items:
        wheel.add(item)
    assert turned(wheel, 100.0, 100.0 + 3 * interval_s, wheel.tick_s) == dict.fromkeys(items, 3)


def test_those_who_come_together_are_spread_over_the_turn() -> None:
    wheel: Wheel[Item] = Wheel(20.0, 0.0)
    for _ in range(800):
        wheel.add(Item())
    assert {len(list(wheel.turn(step * TICK_S))) for step in range(1, 81)} == {10}


def test_who_is_gone_is_visited_no_more() -> None:
    wheel: Wheel[Item] = Wheel(1.0, 0.0)
    stays, goes = Item(), Item()
    wheel.add(stays)
    wheel.add(goes)
    wheel.discard(goes)
    wheel.discard(goes)
    assert turned(wheel, 0.0, 1.0) == {stays: 1}


def test_a_beat_too_early_does_nothing() -> None:
    wheel: Wheel[Item] = Wheel(1.0, 10.0)
    wheel.add(Item())
    assert list(wheel.turn(10.0)) == []
    assert sum(turned(wheel, 10.0, 11.0).values()) == 1
    assert list(wheel.turn(10.5)) == []


def test_a_standstill_visits_each_once() -> None:
    """An hour asleep: nobody is visited for each turn that was missed."""
    wheel: Wheel[Item] = Wheel(20.0, 0.0)
    items = [Item() for _ in range(100)]
    for item in items:
        wheel.add(item)
    assert Counter(wheel.turn(3_600.0)) == dict.fromkeys(items, 1)
    assert turned(wheel, 3_600.0, 3_620.0) == dict.fromkeys(items, 1)


@pytest.mark.parametrize("asleep_s", [0.25, 5.0, 100.0, 3_600.0])
def test_appointments_are_kept_after_a_standstill(asleep_s: float) -> None:
    wheel: Wheel[Item] = Wheel(20.0, 50.0)
    kept: list[float] = []
    wheel.at(50.1, Item(), lambda _, now_s: kept.append(now_s))
    wheel.at(50.1 + asleep_s, Item(), lambda _, now_s: kept.append(now_s))
    list(wheel.turn(50.0 + asleep_s))
    assert kept == [50.0 + asleep_s]
    list(wheel.turn(50.5 + asleep_s))
    assert kept == [50.0 + asleep_s, 50.5 + asleep_s]


@given(st.lists(st.floats(-5, 60), max_size=20), st.lists(st.floats(0.01, 30), min_size=1, max_size=20))
def test_an_appointment_is_kept_once_and_never_early(delays_s: list[float], steps_s: list[float]) -> None:
    """At the first beat after its time, or the second when it falls between ticks."""
    wheel: Wheel[Item] = Wheel(20.0, 1_000.0)
    kept: dict[int, float] = {}

    def keep(number: int, now_s: float) -> None:
        assert number not in kept
        kept[number] = now_s

    for number, delay_s in enumerate(delays_s):
        wheel.at(1_000.0 + delay_s, Item(), lambda _, now_s, number=number: keep(number, now_s))  # type: ignore[misc]
    now_s = 1_000.0
    for step_s in [*steps_s, 100.0]:
        now_s += step_s
        list(wheel.turn(now_s))
        for number, delay_s in enumerate(delays_s):
            if number in kept:
                assert kept[number] >= 1_000.0 + delay_s
            else:
                assert now_s < 1_000.0 + max(0.0, delay_s) + TICK_S + 1e-6
    assert len(kept) == len(delays_s)
