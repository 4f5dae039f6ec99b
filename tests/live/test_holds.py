"""Leases of this worker's connections: renewed in time and evenly, and input told at once only when it matters."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from presence_server import errors
from presence_server.live import holds as holds_module
from presence_server.live.holds import SLOTS, Hold, Holds
from presence_server.store.queue import BULK
from tests.live.room import Clock, until

INTERVAL_S = 10.0
IDLE_TIMEOUT_S = 600.0


class Told:
    """The store as far as holds know it: it keeps what it was told, and answers what the test says.

    Attributes:
        renewed: user, connections and news of each renewal, in order.
        left: user and connections of each leave.
        answers: the futures of the renewals.
    """

    def __init__(self) -> None:
        self.open = True
        self.renewed: list[tuple[str, int, float | None]] = []
        self.left: list[tuple[str, int]] = []
        self.answers: list[asyncio.Future[str | None]] = []

    def renew(
        self, team: str, user: str, session: str, connections: int, active_s: float | None
    ) -> asyncio.Future[str | None]:
        self.renewed.append((user, connections, active_s))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def leave(self, team: str, user: str, session: str, connections: int) -> None:
        self.left.append((user, connections))


class Held:
    """Holds, what they tell, and which of them turned out to be gone."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self.told = Told()
        self.gone: list[tuple[str, str]] = []
        self.idle_timeout_s = IDLE_TIMEOUT_S
        self.holds = Holds(
            cast(Any, self.told),
            interval_s,
            lambda team: self.idle_timeout_s,
            lambda hold, why: self.gone.append((hold.user, why)),
        )

    def open(self, user: str = "maria", session: str = "s1", *, active_s: float = 0.0, joined: bool = True) -> Hold:
        hold = self.holds.open("acme", user, session, active_s, 0.0)
        hold.version = 1 if joined else 0
        return hold


@pytest.fixture
async def held() -> Held:
    return Held()


async def test_connections_of_a_session_share_a_hold(held: Held) -> None:
    first, second = held.open(active_s=5.0), held.open(active_s=3.0)
    other = held.open(session="s2")
    assert first is second is not other
    assert (first.connections, first.active_s) == (2, 5.0)
    assert list(held.holds) == [first, other]
    held.holds.close(first)
    assert (held.told.left, list(held.holds)) == ([("maria", 1)], [first, other])
    held.holds.close(first)
    assert (held.told.left, list(held.holds)) == ([("maria", 1), ("maria", 0)], [other])


async def test_the_newest_token_counts(held: Held) -> None:
    for issued_at_s in (5.0, 9.0, 0.0):
        hold = held.holds.open("acme", "maria", "s1", 0.0, issued_at_s)
    assert hold.issued_at_s == 9.0


async def test_what_was_signed_out_is_not_told_of_any_more_and_comes_back_as_another(held: Held) -> None:
    hold = held.open()
    held.holds.end(hold)
    held.holds.close(hold)
    assert (held.told.left, list(held.holds)) == ([], [])
    again = held.open()
    assert again is not hold
    # The late end of the first does not take the second with it.
    held.holds.end(hold)
    assert list(held.holds) == [again]


async def test_input_is_told_with_the_next_renewal(held: Held) -> None:
    """Heartbeats cost Redis nothing one by one."""
    hold = held.open(active_s=0.0)
    for now_s in (1.0, 2.0, 3.0):
        held.holds.touch(hold, now_s, now_s)
    assert held.told.renewed == []
    held.holds.renew(hold)
    held.holds.renew(hold)
    assert held.told.renewed == [("maria", 1, 3.0), ("maria", 1, None)]


async def test_older_input_is_no_news(held: Held) -> None:
    hold = held.open(active_s=5.0)
    held.holds.touch(hold, 5.0, 1_000.0)
    held.holds.touch(hold, 4.0, 1_000.0)
    assert held.told.renewed == []
    held.holds.renew(hold)
    assert held.told.renewed == [("maria", 1, None)]


async def test_input_after_long_idling_is_told_at_once_and_only_the_first(held: Held) -> None:
    """He may be idle for Redis before the next renewal comes."""
    hold = held.open(active_s=0.0)
    latest_s = IDLE_TIMEOUT_S - 2 * INTERVAL_S
    held.holds.touch(hold, latest_s - 1.0, latest_s - 0.5)
    assert held.told.renewed == []
    held.holds.touch(hold, latest_s, latest_s)
    assert held.told.renewed == [("maria", 1, latest_s)]
    held.holds.touch(hold, latest_s + 1.0, latest_s + 1.0)
    assert len(held.told.renewed) == 1


async def test_with_a_short_timeout_all_input_is_told_at_once(held: Held) -> None:
    held.idle_timeout_s = 2 * INTERVAL_S
    hold = held.open(active_s=0.0)
    for now_s in (1.0, 2.0):
        held.holds.touch(hold, now_s, now_s)
    assert held.told.renewed == [("maria", 1, 1.0), ("maria", 1, 2.0)]


async def test_when_the_timeout_changes_it_is_reckoned_anew(held: Held) -> None:
    hold = held.open(active_s=0.0)
    held.holds.touch(hold, 1.0, 1.0)
    held.idle_timeout_s = 1.0
    held.holds.touch(hold, 2.0, 2.0)
    assert held.told.renewed == []
    held.holds.reconsider("acme")
    held.holds.reconsider("another team")
    held.holds.touch(hold, 3.0, 3.0)
    assert held.told.renewed == [("maria", 1, 3.0)]


async def test_before_the_join_is_answered_nothing_is_told(held: Held) -> None:
    held.idle_timeout_s = 1.0
    hold = held.open(active_s=0.0, joined=False)
    held.holds.touch(hold, 5.0, 5.0)
    assert held.told.renewed == []
    assert hold.active_s == 5.0


async def test_during_an_outage_nothing_is_told_and_the_news_is_kept(held: Held) -> None:
    hold = held.open(active_s=0.0)
    held.told.open = False
    held.holds.touch(hold, 590.0, 590.0)
    held.holds.renew(hold)
    assert held.told.renewed == []
    held.told.open = True
    held.holds.renew(hold)
    assert held.told.renewed == [("maria", 1, 590.0)]


@pytest.mark.parametrize("why", ["expired", "signed_out"])
async def test_a_lease_that_is_gone_is_reported(held: Held, why: str) -> None:
    held.holds.renew(held.open())
    held.told.answers[0].set_result(why)
    await asyncio.sleep(0)
    assert held.gone == [("maria", why)]


@pytest.mark.parametrize("meanwhile", ["closed", "ended", "fine", "cancelled", "failed"])
async def test_what_was_settled_meanwhile_is_not_reported(held: Held, meanwhile: str) -> None:
    hold = held.open()
    held.holds.renew(hold)
    answer = held.told.answers[0]
    if meanwhile == "closed":
        held.holds.close(hold)
    elif meanwhile == "ended":
        held.holds.end(hold)
    if meanwhile == "cancelled":
        answer.cancel()
    elif meanwhile == "failed":
        answer.set_exception(errors.Unavailable("away"))
    else:
        answer.set_result(None if meanwhile == "fine" else "expired")
    await asyncio.sleep(0)
    assert held.gone == []


async def test_neighbours_share_a_call_and_large_teams_are_spread(held: Held) -> None:
    """A slot of a team is a bulk call, no more."""
    slots = [held.open(f"user{number}").slot for number in range(BULK * 3)]
    assert [len(set(slots[at : at + BULK])) for at in range(0, len(slots), BULK)] == [1, 1, 1]
    assert len(set(slots)) == 3
    assert all(0 <= slot < SLOTS for slot in slots)


async def test_all_leases_are_renewed_once_an_interval() -> None:
    held = Held(interval_s=0.3)
    for number in range(BULK * 2):
        held.open(f"user{number}")
    held.open("unjoined", joined=False)
    running = asyncio.create_task(held.holds.run())
    begin_s = time.monotonic()
    await until(lambda: len(held.told.renewed) >= BULK * 6)
    took_s = time.monotonic() - begin_s
    running.cancel()
    # Each in its turn: three rounds take at least two intervals, and in each everybody has been renewed once.
    assert took_s >= 0.3 * 2
    rounds = [held.told.renewed[at : at + BULK * 2] for at in range(0, BULK * 6, BULK * 2)]
    for renewed in rounds:
        assert {user for user, _, _ in renewed} == {f"user{number}" for number in range(BULK * 2)}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(holds_module, "time", clock)
    return clock


async def test_after_a_standstill_nobody_is_renewed_several_times_over(clock: Clock) -> None:
    held = Held(interval_s=0.3)
    held.open()
    running = asyncio.create_task(held.holds.run())
    await until(lambda: held.told.renewed)
    clock.ahead_s = 3_600.0
    begin_s = time.monotonic()
    await until(lambda: len(held.told.renewed) >= 4)
    # The one that was late, and then again one an interval.
    assert time.monotonic() - begin_s >= 0.3 * 2 - 0.05
    running.cancel()
