"""A team's lane: batches, order, and who gets which result."""

from __future__ import annotations

import pytest

from presence_server import errors
from presence_server.store.calls import BULK, HoldCall, Waiting
from tests.store.bench import REPLY, Bench, hold


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


async def test_where_redis_refuses_what_comes_first_nobody_waits_for_his_choice(bench: Bench) -> None:
    bench.tell(hold("juan"))
    chosen = bench.choose("busy")
    bench.lane.refuse_choices("refused")
    with pytest.raises(errors.Unavailable, match="refused"):
        await chosen
    assert bench.take() == ["hold"]
