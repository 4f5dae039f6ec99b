"""Ending tasks, also those that do not hear of it the first time."""

from __future__ import annotations

import asyncio

from presence_server.store import tasks


async def test_a_task_that_swallows_a_cancellation_ends_all_the_same() -> None:
    swallowed = 0

    async def deaf() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    deaf_task = asyncio.create_task(deaf())
    done = asyncio.create_task(asyncio.sleep(0))
    await done
    await tasks.end([deaf_task, done])
    assert deaf_task.cancelled()
    assert swallowed == 2
