"""Pace: pipelines go at once after quiet, and by the clock under load."""

from __future__ import annotations

import asyncio

from presence_server.store.pace import AT_ONCE, PIPELINES_PER_S, Pace


class Time:
    """A clock that is told, and counts how often it is looked at."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now_s


async def spend(pace: Pace) -> None:
    for _ in range(int(AT_ONCE)):
        await asyncio.wait_for(pace.wait(full=False), 5.0)


async def test_pipelines_go_at_once_after_quiet_and_then_by_the_clock() -> None:
    time = Time()
    pace = Pace(time)
    await spend(pace)
    late = asyncio.create_task(pace.wait(full=False))
    await asyncio.sleep(0)
    assert not late.done()
    await asyncio.wait_for(pace.wait(full=True), 5.0)
    assert not late.done()
    time.now_s += 1.001 / PIPELINES_PER_S
    await asyncio.wait_for(late, 5.0)


async def test_quiet_saves_up_no_more_than_so_many() -> None:
    time = Time()
    pace = Pace(time)
    time.now_s += 3_600.0
    await spend(pace)
    late = asyncio.create_task(pace.wait(full=False))
    await asyncio.sleep(0)
    assert not late.done()
    late.cancel()


async def test_full_pipelines_run_into_no_debt() -> None:
    time = Time()
    pace = Pace(time)
    for _ in range(100):
        await asyncio.wait_for(pace.wait(full=True), 5.0)
    time.now_s += 1.001 / PIPELINES_PER_S
    await asyncio.wait_for(pace.wait(full=False), 5.0)


async def test_who_waits_looks_at_the_clock_again() -> None:
    time = Time()
    pace = Pace(time)
    await spend(pace)
    time.looks = 0
    late = asyncio.create_task(pace.wait(full=False))
    while time.looks < 3:  # noqa: ASYNC110 - there is nothing to be woken by
        await asyncio.sleep(0.001)
    assert not late.done()
    time.now_s += 1.001 / PIPELINES_PER_S
    await asyncio.wait_for(late, 5.0)
