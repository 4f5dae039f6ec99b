"""Work for very many at once: all of it, in its order, a little in each turn of the loop."""

from __future__ import annotations

import asyncio

import pytest

from presence_server.live import turns
from presence_server.live.turns import Turns
from tests.live.room import until


async def test_it_is_done_in_its_order_after_this_turn() -> None:
    done: list[int] = []
    work = Turns()
    for number in range(100):
        work.add(done.append, number)
    assert (done, len(work)) == ([], 100)
    await until(lambda: not work)
    assert done == list(range(100))


async def test_a_turn_does_no_more_than_its_time_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE_S", 0.0)
    done: list[int] = []
    work = Turns()
    for number in range(10):
        work.add(done.append, number)
    for turn in range(10):
        assert done == list(range(turn))
        await asyncio.sleep(0)
    assert done == list(range(10))


async def test_what_is_added_meanwhile_comes_last() -> None:
    done: list[str] = []
    work = Turns()

    def first() -> None:
        work.add(done.append, "third")
        done.append("first")

    work.add(first)
    work.add(done.append, "second")
    await until(lambda: len(done) == 3)
    assert done == ["first", "second", "third"]


async def test_what_fails_is_reported_and_keeps_nobody_else_waiting() -> None:
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
    done: list[str] = []
    failure = RuntimeError("no")

    def fail() -> None:
        raise failure

    work = Turns()
    work.add(fail)
    work.add(done.append, "second")
    await until(lambda: done)
    assert failures == [failure]
