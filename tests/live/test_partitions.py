"""Whether a session has signed out, by whoever of the two that remember it is within reach: shards in such states at
one and the same moment cannot be had, so these only say what they would."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from presence_server.live import partitions
from presence_server.live.partition import Partition
from presence_server.live.partitions import Partitions


class Home:
    """A partition that answers, or not."""

    def __init__(self, answer: int | None, *, within_reach: bool = True) -> None:
        self.store = self
        self.open = within_reach
        self.answer = answer
        self.asked: list[asyncio.Future[int]] = []

    def is_signed_out(self, user: str, session: str) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.asked.append(future)
        if self.answer is not None:
            future.set_result(self.answer)
        return future


def among(*homes: Home) -> Partitions:
    found = Partitions()
    found.settle_in([cast(Partition, cast(Any, home)) for home in homes])
    return found


async def test_the_only_one_there_is_is_asked() -> None:
    assert await among(Home(1)).is_signed_out("maria", "s1")
    assert not await among(Home(0)).is_signed_out("maria", "s1")


@pytest.mark.parametrize(("one", "other"), [(1, 0), (0, 1), (1, None), (None, 1)])
async def test_one_that_knows_is_enough(one: int | None, other: int | None) -> None:
    assert await among(Home(one), Home(other)).is_signed_out("maria", "s1")


async def test_one_that_does_not_answer_is_not_waited_for() -> None:
    silent = Home(None)
    assert not await among(silent, Home(0)).is_signed_out("maria", "s1")
    assert [each.cancelled() for each in silent.asked] == [True]


async def test_one_that_is_out_of_reach_is_asked_where_no_other_is_there() -> None:
    away = Home(0, within_reach=False)
    assert not await among(away, Home(0)).is_signed_out("maria", "s1")
    assert away.asked == []
    assert await among(Home(1, within_reach=False), Home(None, within_reach=False)).is_signed_out("maria", "s1")


async def test_one_that_comes_back_is_asked_while_the_other_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "_AGAIN_S", 0.05)
    silent, back = Home(None), Home(1, within_reach=False)
    asking = asyncio.create_task(among(silent, back).is_signed_out("maria", "s1"))
    while not silent.asked:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    back.open = True
    assert await asking
