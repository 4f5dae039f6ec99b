"""Tasks: nothing fails without somebody seeing it, and everything ends."""

from __future__ import annotations

import asyncio

import pytest

from presence_server.live.spawn import Spawn
from tests.store.support import becomes_true


async def fail(why: str) -> None:
    raise ValueError(why)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_part_that_fails_is_the_workers_trouble() -> None:
    failures: list[BaseException] = []
    spawn = Spawn(failures.append)
    task = spawn.part(fail("beyond repair"))
    await becomes_true(lambda: failures)
    assert [str(failure) for failure in failures] == ["beyond repair"]
    assert task.done()


async def test_work_for_a_connection_is_that_connections() -> None:
    failures: list[BaseException] = []
    told: list[BaseException] = []
    spawn = Spawn(failures.append)
    spawn.work(fail("its own fault"), told.append)
    await becomes_true(lambda: told)
    assert ([str(failure) for failure in told], failures) == (["its own fault"], [])


async def test_what_ends_well_is_nobodys_news() -> None:
    failures: list[BaseException] = []
    spawn = Spawn(failures.append)
    await spawn.part(asyncio.sleep(0))
    assert failures == []


async def test_at_the_end_everything_has_ended() -> None:
    failures: list[BaseException] = []
    spawn = Spawn(failures.append)
    tasks = [spawn.part(for_ever()), spawn.work(for_ever(), failures.append)]
    await asyncio.sleep(0)
    await spawn.end()
    assert [task.cancelled() for task in tasks] == [True, True]
    assert failures == []
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
