"""Requests on their way to Redis: batched, in order, superseded, and patient to a point."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server import errors
from presence_server.store import scripts
from presence_server.store.queue import AT_ONCE, BULK, PATIENCE_S, PIPELINE, PIPELINES_PER_S, Call, Pace, Queue
from presence_server.store.scripts import Script

BUSY = ("maria", "busy", 0.0, False)
ONLINE = ("maria", "online", 0.0, False)


class Bench:
    """A queue and its clock."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.queue = Queue(lambda: self.now_s)

    def ask(
        self, script: Script, *entry: Any, team: str = "acme", patient: bool = True, key: Hashable = None
    ) -> asyncio.Future[Any]:
        return self.queue.ask(script, team, entry, patient=patient, key=key)

    def choose(self, status: str, *, patient: bool = True) -> asyncio.Future[Any]:
        return self.ask(scripts.CHOOSE, "maria", status, patient=patient, key="maria's choice")

    def take(self) -> list[tuple[str, str, list[tuple[Any, ...]]]]:
        return [contents(call) for call in self.queue.take()]


def contents(call: Call) -> tuple[str, str, list[tuple[Any, ...]]]:
    return call.script.name, call.team, call.inputs


@pytest.fixture
async def bench() -> Bench:
    return Bench()


# --- order and batches ------------------------------------------------------------------------------------------------


async def test_joins_of_one_turn_share_a_call(bench: Bench) -> None:
    futures = [bench.ask(scripts.JOIN, user) for user in ("maria", "juan", "ana")]
    assert len(bench.queue) == 1
    (call,) = bench.queue.take()
    assert contents(call) == ("join", "acme", [("maria",), ("juan",), ("ana",)])
    call.answer([1, 2, 3])
    assert [future.result() for future in futures] == [1, 2, 3]
    assert not bench.queue


@pytest.mark.parametrize("script", [scripts.JOIN, scripts.RENEW, scripts.LEAVE, scripts.CHOOSE])
async def test_a_call_carries_no_more_than_redis_can_do_quickly(bench: Bench, script: Script) -> None:
    for number in range(BULK + 1):
        bench.ask(script, number)
    assert [len(inputs) for _, _, inputs in bench.take()] == [BULK, 1]


@pytest.mark.parametrize("script", [scripts.SIGN_OUT, scripts.CONFIGURE])
async def test_single_operations_have_a_call_of_their_own(bench: Bench, script: Script) -> None:
    bench.ask(script, 1)
    bench.ask(script, 2)
    assert bench.take() == [(script.name, "acme", [(1,)]), (script.name, "acme", [(2,)])]


async def test_what_is_asked_of_a_team_is_not_overtaken(bench: Bench) -> None:
    """A connection that is lost and back in one turn: the leave must come before the join."""
    for script, entry in [(scripts.JOIN, 1), (scripts.LEAVE, 2), (scripts.JOIN, 3), (scripts.JOIN, 4)]:
        bench.ask(script, entry)
    assert bench.take() == [("join", "acme", [(1,)]), ("leave", "acme", [(2,)]), ("join", "acme", [(3,), (4,)])]


async def test_teams_do_not_share_calls(bench: Bench) -> None:
    bench.ask(scripts.JOIN, 1, team="acme")
    bench.ask(scripts.JOIN, 2, team="b")
    bench.ask(scripts.JOIN, 3, team="acme")
    assert bench.take() == [("join", "acme", [(1,), (3,)]), ("join", "b", [(2,)])]


async def test_what_was_taken_grows_no_more(bench: Bench) -> None:
    bench.ask(scripts.JOIN, 1)
    first = bench.queue.take()
    bench.ask(scripts.JOIN, 2)
    assert bench.take() == [("join", "acme", [(2,)])]
    assert [contents(call) for call in first] == [("join", "acme", [(1,)])]


async def test_a_pipeline_has_a_bearable_length(bench: Bench) -> None:
    for number in range(PIPELINE + 1):
        bench.ask(scripts.JOIN, number, team=f"t{number}")
        assert bench.queue.full is (number >= PIPELINE - 1)
    assert (len(bench.take()), len(bench.take())) == (PIPELINE, 1)


async def test_so_has_one_of_shared_calls(bench: Bench) -> None:
    """All who wait for a pipeline wake up together."""
    for number in range(PIPELINE + 1):
        bench.ask(scripts.JOIN, number)
        assert bench.queue.full is (number >= PIPELINE - 1)
    assert (sum(len(inputs) for _, _, inputs in bench.take()), len(bench.take())) == (PIPELINE, 1)


async def test_what_failed_comes_first_again_in_order(bench: Bench) -> None:
    for script, entry in [(scripts.JOIN, 1), (scripts.LEAVE, 2), (scripts.JOIN, 3)]:
        bench.ask(script, entry)
    taken = bench.queue.take()
    bench.ask(scripts.LEAVE, 4)
    bench.queue.give_back(taken)
    bench.ask(scripts.LEAVE, 5)
    assert [(name, inputs) for name, _, inputs in bench.take()] == [
        ("join", [(1,)]),
        ("leave", [(2,)]),
        ("join", [(3,)]),
        ("leave", [(4,), (5,)]),
    ]


@given(
    asked=st.lists(
        st.tuples(st.sampled_from([scripts.JOIN, scripts.LEAVE, scripts.CHOOSE]), st.sampled_from("ab")), max_size=80
    ),
    breaks=st.sets(st.integers(0, 79)),
)
def test_each_team_keeps_its_order_whatever_fails(asked: list[tuple[Script, str]], breaks: set[int]) -> None:
    async def run() -> None:
        bench = Bench()
        for number, (script, team) in enumerate(asked):
            bench.ask(script, number, team=team)
            if number in breaks:
                bench.queue.give_back(bench.queue.take())
        taken = bench.take()
        for each in "ab":
            done = [(name, number) for name, team, inputs in taken if team == each for (number,) in inputs]
            assert done == [(script.name, number) for number, (script, team) in enumerate(asked) if team == each]

    asyncio.run(run())


async def test_a_wrong_number_of_results_is_a_mistake(bench: Bench) -> None:
    bench.ask(scripts.JOIN, "maria")
    (call,) = bench.queue.take()
    with pytest.raises(ValueError, match="shorter"):
        call.answer([])


# --- superseding ------------------------------------------------------------------------------------------------------


async def test_the_newest_choice_counts_for_those_before_it(bench: Bench) -> None:
    futures = [bench.choose("busy"), bench.choose("online"), bench.choose("busy")]
    other = bench.ask(scripts.CHOOSE, "juan", "busy", key="juan's choice")
    (call,) = bench.queue.take()
    assert call.inputs == [("maria", "busy"), ("juan", "busy")]
    call.answer(["done", "done too"])
    assert [future.result() for future in [*futures, other]] == ["done"] * 3 + ["done too"]


async def test_the_others_of_its_call_come_back_when_one_is_superseded(bench: Bench) -> None:
    juans = bench.ask(scripts.CHOOSE, "juan", "busy", key="juan's choice")
    first = bench.choose("busy")
    taken = bench.queue.take()
    second = bench.choose("online")
    bench.queue.give_back(taken)
    (earlier, later) = bench.queue.take()
    assert (earlier.inputs, later.inputs) == ([("juan", "busy")], [("maria", "online")])
    earlier.answer(["juan's"])
    later.answer(["maria's"])
    assert [future.result() for future in (juans, first, second)] == ["juan's", "maria's", "maria's"]


async def test_those_before_it_are_answered_in_the_order_they_were_asked(bench: Bench) -> None:
    answered: list[str] = []
    for name in ("first", "second", "third"):
        bench.choose(name).add_done_callback(lambda _, name=name: answered.append(name))  # type: ignore[misc]
    (call,) = bench.queue.take()
    call.answer(["done"])
    await asyncio.sleep(0)
    assert answered == ["first", "second", "third"]


async def test_what_is_under_way_is_not_superseded(bench: Bench) -> None:
    first = bench.choose("busy")
    (under_way,) = bench.queue.take()
    second = bench.choose("online")
    under_way.answer(["first"])
    (call,) = bench.queue.take()
    call.answer(["second"])
    assert (first.result(), second.result()) == ("first", "second")


async def test_what_came_back_is_superseded_by_what_was_asked_meanwhile(bench: Bench) -> None:
    first = bench.choose("busy")
    taken = bench.queue.take()
    second = bench.choose("online")
    bench.queue.give_back(taken)
    (call,) = bench.queue.take()
    assert call.inputs == [("maria", "online")]
    call.answer(["done"])
    assert first.result() == second.result() == "done"


async def test_what_came_back_is_superseded_by_what_is_asked_later(bench: Bench) -> None:
    first = bench.choose("busy")
    bench.queue.give_back(bench.queue.take())
    second = bench.choose("online")
    (call,) = bench.queue.take()
    assert call.inputs == [("maria", "online")]
    call.answer(["done"])
    assert first.result() == second.result() == "done"


async def test_what_came_back_stays_when_the_newer_one_was_given_up(bench: Bench) -> None:
    first = bench.choose("busy")
    taken = bench.queue.take()
    bench.choose("online").cancel()
    bench.queue.expire()
    bench.queue.give_back(taken)
    (call,) = bench.queue.take()
    assert call.inputs == [("maria", "busy")]
    call.answer(["done"])
    assert first.result() == "done"


async def test_a_choice_that_was_given_up_is_not_superseded_but_forgotten(bench: Bench) -> None:
    bench.choose("busy").cancel()
    second = bench.choose("online")
    (call,) = bench.queue.take()
    assert call.inputs == [("maria", "online")]
    call.answer(["done"])
    assert second.result() == "done"


# --- patience ---------------------------------------------------------------------------------------------------------


async def test_the_impatient_get_an_answer_after_ten_seconds(bench: Bench) -> None:
    impatient, patient = bench.choose("busy", patient=False), bench.ask(scripts.LEAVE, 1)
    bench.now_s += PATIENCE_S - 0.001
    bench.queue.expire()
    assert not impatient.done()
    bench.now_s += 0.001
    bench.queue.expire()
    with pytest.raises(errors.Unavailable, match="got no answer in 10 s; try again"):
        await impatient
    assert not patient.done()
    assert bench.take() == [("leave", "acme", [(1,)])]


async def test_what_has_waited_too_long_is_not_sent_any_more(bench: Bench) -> None:
    late = bench.ask(scripts.JOIN, 1, patient=False)
    bench.now_s += 5.0
    bench.ask(scripts.JOIN, 2, patient=False)
    bench.now_s += 5.0
    assert bench.take() == [("join", "acme", [(2,)])]
    with pytest.raises(errors.Unavailable):
        await late


async def test_the_newest_is_still_sent_when_an_earlier_one_has_waited_too_long(bench: Bench) -> None:
    first = bench.choose("busy", patient=False)
    bench.now_s += 6.0
    second = bench.choose("online", patient=False)
    bench.now_s += 6.0
    (call,) = bench.queue.take()
    call.answer(["done"])
    with pytest.raises(errors.Unavailable):
        await first
    assert second.result() == "done"


async def test_who_gave_up_is_not_told(bench: Bench) -> None:
    given_up = bench.choose("busy", patient=False)
    given_up.cancel()
    bench.now_s += 11.0
    bench.queue.expire()
    assert given_up.cancelled()
    assert not bench.queue


async def test_what_was_given_up_under_way_is_no_trouble(bench: Bench) -> None:
    given_up, other = bench.ask(scripts.JOIN, 1), bench.ask(scripts.JOIN, 2)
    (call,) = bench.queue.take()
    given_up.cancel()
    call.answer(["one", "two"])
    assert other.result() == "two"


async def test_what_redis_refuses_is_told_to_everybody(bench: Bench) -> None:
    given_up, other, nobody_looks = (bench.ask(scripts.JOIN, number) for number in range(3))
    (call,) = bench.queue.take()
    given_up.cancel()
    call.fail("Expected that, got this")
    with pytest.raises(errors.Unavailable, match="Expected that, got this"):
        await other
    assert nobody_looks.done()


async def test_what_nobody_waits_for_does_not_pile_up(bench: Bench) -> None:
    for number in range(5):
        bench.ask(scripts.JOIN, number, team=f"t{number}").cancel()
    bench.queue.expire()
    assert len(bench.queue) == 0


async def test_nor_does_what_is_superseded(bench: Bench) -> None:
    """A client that keeps choosing through an outage costs no memory for it."""
    futures = []
    for _ in range(100):
        futures.append(bench.choose("busy", patient=False))
        bench.now_s += PATIENCE_S / 10
        bench.queue.expire()
        assert len(bench.queue) == 1
    assert [future for future in futures if not future.done()] == futures[-9:]
    for future in futures[:-9]:
        assert isinstance(future.exception(), errors.Unavailable)


async def test_a_team_whose_call_has_expired_is_served_again(bench: Bench) -> None:
    early = bench.ask(scripts.JOIN, "maria", patient=False)
    bench.now_s += PATIENCE_S
    bench.queue.expire()
    late = bench.ask(scripts.JOIN, "maria again")
    (call,) = bench.queue.take()
    assert call.inputs == [("maria again",)]
    call.answer(["online"])
    assert late.result() == "online"
    with pytest.raises(errors.Unavailable):
        await early


# --- pace -------------------------------------------------------------------------------------------------------------


async def test_pipelines_go_at_once_after_quiet_and_then_by_the_clock() -> None:
    now_s = 100.0
    pace = Pace(lambda: now_s)
    for _ in range(int(AT_ONCE)):
        await asyncio.wait_for(pace.wait(full=False), 5.0)
    late = asyncio.create_task(pace.wait(full=False))
    await asyncio.sleep(0)
    assert not late.done()
    await asyncio.wait_for(pace.wait(full=True), 5.0)
    assert not late.done()
    now_s += 1.0 / PIPELINES_PER_S
    await asyncio.wait_for(late, 5.0)


async def test_quiet_saves_up_no_more_than_so_many() -> None:
    now_s = 100.0
    pace = Pace(lambda: now_s)
    now_s += 3_600.0
    for _ in range(int(AT_ONCE)):
        await asyncio.wait_for(pace.wait(full=False), 5.0)
    late = asyncio.create_task(pace.wait(full=False))
    await asyncio.sleep(0)
    assert not late.done()
    late.cancel()


async def test_full_pipelines_run_into_no_debt() -> None:
    now_s = 100.0
    pace = Pace(lambda: now_s)
    for _ in range(100):
        await asyncio.wait_for(pace.wait(full=True), 5.0)
    now_s += 1.001 / PIPELINES_PER_S
    await asyncio.wait_for(pace.wait(full=False), 5.0)


async def test_who_waits_looks_at_the_clock_again() -> None:
    now_s, looks = 100.0, 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return now_s

    pace = Pace(clock)
    for _ in range(int(AT_ONCE)):
        await pace.wait(full=False)
    looks = 0
    late = asyncio.create_task(pace.wait(full=False))
    while looks < 3:  # noqa: ASYNC110 - there is nothing to be woken by
        await asyncio.sleep(0.001)
    assert not late.done()
    now_s += 1.001 / PIPELINES_PER_S
    await asyncio.wait_for(late, 5.0)


# --- giving up --------------------------------------------------------------------------------------------------------


async def test_everything_asked_of_one_script_can_be_given_up(bench: Bench) -> None:
    renewals = [bench.ask(scripts.RENEW, 1), bench.ask(scripts.RENEW, 2)]
    leave = bench.ask(scripts.LEAVE, 3)
    renewals.append(bench.ask(scripts.RENEW, 4))
    bench.queue.cancel(scripts.RENEW)
    assert [future.cancelled() for future in renewals] == [True] * 3
    assert not leave.done()
    assert bench.take() == [("leave", "acme", [(3,)])]
