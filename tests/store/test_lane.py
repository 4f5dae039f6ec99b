"""A team's lane: batches, order, choices that supersede each other, and patience to a point."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from presence_server import errors
from presence_server.core.roster import Mark
from presence_server.store.calls import BULK, Call, ChoiceCall, Entry, HoldCall, SingleCall, Waiting
from presence_server.store.hold import Hold
from presence_server.store.lane import PATIENCE_S, Lane
from presence_server.store.types import Reply

REPLY = Reply(Mark("k1", 7, "tip"), 600_000, 20_000, 1_000, 1, [1, b"online"])


class Bench:
    """A lane, its clock, and what was sent on it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lane = Lane("acme")

    def waiting(self) -> Waiting:
        return Waiting(self.now_s + PATIENCE_S)

    def tell(self, hold: Hold, *, patient: bool = False) -> asyncio.Future[Any] | None:
        waiting = None if patient else self.waiting()
        self.lane.tell(hold, waiting)
        return None if waiting is None else waiting.future

    def choose(self, status: str, user: str = "maria", by: str = "maria") -> asyncio.Future[Any]:
        waiting = self.waiting()
        self.lane.choose(user, status, self.now_s, by, waiting)
        return waiting.future

    def single(self) -> asyncio.Future[Any]:
        call, waiting = SingleCall("sign_out", ("maria", "", 1, ""), once=True), Waiting(None)
        entry = call.entries[None] = Entry(None)
        entry.waiting.append(waiting)
        self.lane.add(call)
        return waiting.future

    def send(self) -> Call:
        """Send the next call, as the lane's owner does."""
        call = self.lane.head(self.now_s)
        assert call is not None
        assert call.prepare(lambda at_s: int(at_s * 1000))
        call.number = call.number or 1
        return call

    def take(self) -> list[str]:
        """Send and answer everything; tells what was sent."""
        sent = []
        while self.lane.head(self.now_s) is not None:
            call = self.send()
            sent.append(call.name)
            self.lane.answered()
        return sent


def hold(user: str = "maria", connections: int = 1) -> Hold:
    made = Hold("acme", user, "s1", 50.0)
    made.connections, made.is_new = connections, True
    return made


@pytest.fixture
async def bench() -> Bench:
    return Bench()


# --- order and batches ------------------------------------------------------------------------------------------------


async def test_holds_of_one_turn_share_a_call_and_each_is_told_once(bench: Bench) -> None:
    maria = hold()
    for each in (maria, hold("juan"), maria):
        bench.tell(each)
    assert len(bench.lane) == 2
    call = bench.send()
    assert list(call.arguments) == ["maria", "s1", 1, 50_000, 0, 0, 1, "juan", "s1", 1, 50_000, 0, 0, 1]
    assert (maria.sent, maria.is_new) == (True, False)


async def test_what_a_hold_is_counts_when_it_is_sent(bench: Bench) -> None:
    maria = hold()
    bench.tell(maria)
    maria.connections, maria.active_s, maria.version, maria.issued_at_s = 3, 60.0, 5, 9.7
    assert list(bench.send().arguments) == ["maria", "s1", 3, 60_000, 9, 5, 1]
    bench.lane.answered()
    maria.ended = True
    bench.tell(maria)
    assert list(bench.send().arguments)[2] == -1


async def test_a_call_carries_no_more_than_redis_can_do_quickly(bench: Bench) -> None:
    holds = [hold(f"u{number}") for number in range(BULK + 1)]
    for each in holds:
        bench.tell(each)
    bench.tell(holds[BULK])
    first = bench.send()
    bench.lane.answered()
    assert (len(first.entries), len(bench.send().entries)) == (BULK, 1)


async def test_of_choices_likewise(bench: Bench) -> None:
    for number in range(BULK + 1):
        bench.choose("busy", f"u{number}")
    assert bench.take() == ["choose", "choose"]


async def test_what_is_asked_of_a_team_is_not_overtaken(bench: Bench) -> None:
    """One of another kind ends the growing of a call."""
    bench.tell(hold("a"))
    bench.choose("busy")
    bench.tell(hold("b"))
    bench.single()
    bench.single()
    bench.tell(hold("c"))
    assert bench.take() == ["hold", "choose", "hold", "sign_out", "sign_out", "hold"]


async def test_what_was_not_carried_out_comes_first_again_as_things_are_then(bench: Bench) -> None:
    maria = hold()
    bench.tell(maria)
    bench.choose("busy")
    call = bench.send()
    maria.connections = 2
    bench.lane.again()
    assert (call.number, maria.is_new) == (0, True)
    again = bench.send()
    assert again is call
    assert list(again.arguments) == ["maria", "s1", 2, 50_000, 0, 0, 1]


async def test_what_was_sent_and_not_answered_is_sent_as_it_was(bench: Bench) -> None:
    maria = hold()
    bench.tell(maria)
    before = list(bench.send().arguments)
    maria.connections = 2
    assert list(bench.send().arguments) == before


async def test_told_anew_a_team_hears_nothing_else(bench: Bench) -> None:
    bench.choose("busy")
    bench.lane.restating = True
    assert bench.lane.head(bench.now_s) is None
    bench.lane.first.append(HoldCall(restating=True))
    assert bench.send().restating
    bench.lane.again()
    assert bench.send().restating
    bench.lane.answered()
    bench.lane.restating = False
    bench.lane.stale = True
    assert bench.lane.head(bench.now_s) is None
    bench.lane.stale = False
    assert bench.take() == ["choose"]


async def test_held_up_or_broken_nothing_is_sent(bench: Bench) -> None:
    bench.choose("busy")
    bench.lane.held_up = True
    assert bench.lane.head(bench.now_s) is None
    bench.lane.held_up = False
    bench.lane.broken_until_s = bench.now_s + 1.0
    assert bench.lane.head(bench.now_s) is None
    bench.now_s += 1.0
    assert bench.take() == ["choose"]
    assert not bench.lane.busy


# --- results ----------------------------------------------------------------------------------------------------------


async def test_each_who_waits_gets_his_result(bench: Bench) -> None:
    maria, juan = hold("maria"), hold("juan")
    futures = [bench.tell(maria), bench.tell(juan), bench.tell(maria)]
    maria.active_s = 70.0
    call = bench.send()
    call.done = Waiting(None)
    call.answer(REPLY._replace(results=[1, b"busy", b""]))
    assert [future.result() for future in futures if future] == [
        (REPLY.mark, "busy"),
        (REPLY.mark, None),
        (REPLY.mark, "busy"),
    ]
    assert call.done.future.result().mark == REPLY.mark
    assert (maria.told_s, juan.told_s) == (70.0, 50.0)
    # Once is enough.
    call.answer(REPLY._replace(results=[1, b"busy", b""]))


async def test_who_gave_up_meanwhile_is_no_trouble(bench: Bench) -> None:
    futures = [bench.choose("busy", user) for user in ("maria", "juan")]
    call = bench.send()
    futures[0].cancel()
    call.answer(REPLY)
    assert futures[1].result() == REPLY
    call.fail("too late")


async def test_a_failure_is_told_to_everybody_once(bench: Bench) -> None:
    futures = [bench.choose("busy", user) for user in ("maria", "juan")]
    bench.send().fail("Expected that, got this")
    for future in futures:
        with pytest.raises(errors.Unavailable, match="Expected that, got this"):
            await future


async def test_who_is_gone_before_redis_heard_of_him_is_not_told(bench: Bench) -> None:
    maria = hold()
    told = bench.tell(maria)
    maria.connections = 0
    call = bench.lane.head(bench.now_s)
    assert call is not None
    assert not call.prepare(int)
    assert told is not None
    with pytest.raises(errors.Unavailable, match="got one that has ended"):
        await told


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
