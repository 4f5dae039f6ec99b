"""What waits in a team's lane: choices supersede each other, and patience has an end."""

from __future__ import annotations

import asyncio

import pytest

from presence_server import errors
from presence_server.store.calls import ChoiceCall
from presence_server.store.lane import PATIENCE_S
from tests.store.bench import REPLY, Bench, hold


@pytest.fixture
async def bench() -> Bench:
    return Bench()


# --- superseding ------------------------------------------------------------------------------------------------------


async def test_the_newest_choice_counts_for_those_before_it(bench: Bench) -> None:
    futures = [bench.choose("busy"), bench.choose("online"), bench.choose("busy")]
    other = bench.choose("online", "juan")
    call = bench.send()
    assert list(call.arguments) == ["maria", "busy", 100_000, "maria", "juan", "online", 100_000, "maria"]
    call.answer(REPLY)
    assert all(future.result() is REPLY for future in [*futures, other])


async def test_those_before_it_are_answered_in_the_order_they_were_asked(bench: Bench) -> None:
    answered: list[str] = []
    for name in ("first", "second", "third"):
        bench.choose(name).add_done_callback(lambda _, name=name: answered.append(name))  # type: ignore[misc]
    bench.send().answer(REPLY)
    await asyncio.sleep(0)
    assert answered == ["first", "second", "third"]


async def test_it_does_not_overtake_what_was_asked_between_them(bench: Bench) -> None:
    first = bench.choose("busy")
    bench.tell(hold())
    second = bench.choose("online")
    sent = []
    while bench.lane.head(bench.now_s) is not None:
        call = bench.lane.unanswered
        assert call is not None
        if call.prepare(int):
            sent.append((call.name, list(call.arguments)[1]))
        call.answer(REPLY)
        bench.lane.answered()
    assert sent == [("hold", "s1"), ("choose", "online")]
    assert first.result() is second.result() is REPLY


async def test_what_is_under_way_is_not_superseded(bench: Bench) -> None:
    bench.choose("busy")
    under_way = bench.send()
    bench.choose("online")
    assert isinstance(under_way, ChoiceCall)
    assert len(under_way.entries) == 1
    bench.lane.answered()
    assert list(bench.send().arguments)[1] == "online"


async def test_by_another_it_is_another_choice(bench: Bench) -> None:
    bench.choose("busy", by="ana")
    bench.choose("online", by="maria")
    assert len(bench.send().entries) == 2


# --- patience ---------------------------------------------------------------------------------------------------------


async def test_a_choice_is_answered_after_ten_seconds_and_dropped(bench: Bench) -> None:
    choice = bench.choose("busy")
    bench.now_s += PATIENCE_S - 0.001
    bench.lane.expire(bench.now_s)
    assert not choice.done()
    bench.now_s += 0.001
    bench.lane.expire(bench.now_s)
    with pytest.raises(errors.Unavailable, match="got no answer in 10 s; try again"):
        await choice
    assert len(bench.lane) == 0
    assert not bench.lane.busy


async def test_what_has_waited_too_long_is_not_sent_any_more(bench: Bench) -> None:
    choice = bench.choose("busy")
    bench.now_s += PATIENCE_S
    assert bench.lane.head(bench.now_s) is None
    assert isinstance(choice.exception(), errors.Unavailable)


async def test_a_hold_is_told_in_the_end_but_nobody_waits_longer(bench: Bench) -> None:
    maria, gone = hold(), hold("juan")
    told = [bench.tell(maria), bench.tell(gone)]
    gone.connections = 0
    bench.now_s += PATIENCE_S
    bench.lane.expire(bench.now_s)
    for future in told:
        assert future is not None
        assert isinstance(future.exception(), errors.Unavailable)
    assert len(bench.lane) == 1
    assert bench.send().arguments[0] == "maria"


async def test_what_was_sent_is_sent_again_though_nobody_waits(bench: Bench) -> None:
    """It may have been done: the next number must find out."""
    choice = bench.choose("busy")
    call = bench.send()
    bench.now_s += PATIENCE_S
    bench.lane.expire(bench.now_s)
    assert isinstance(choice.exception(), errors.Unavailable)
    assert bench.send() is call
    assert len(call.entries) == 1


async def test_the_patient_wait_as_long_as_it_takes(bench: Bench) -> None:
    ended = bench.single()
    bench.now_s += 3_600.0
    bench.lane.expire(bench.now_s)
    assert not ended.done()
    assert bench.take() == ["sign_out"]


async def test_who_gave_up_is_not_told_and_his_choice_forgotten(bench: Bench) -> None:
    bench.choose("busy").cancel()
    bench.lane.expire(bench.now_s)
    assert len(bench.lane) == 0


async def test_choosing_through_an_outage_costs_no_memory(bench: Bench) -> None:
    futures = []
    for _ in range(100):
        futures.append(bench.choose("busy"))
        bench.now_s += PATIENCE_S / 10
        bench.lane.expire(bench.now_s)
        assert len(bench.lane) == 1
    assert [future for future in futures if not future.done()] == futures[-9:]
    for future in futures[:-9]:
        assert isinstance(future.exception(), errors.Unavailable)
