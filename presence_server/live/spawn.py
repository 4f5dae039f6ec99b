"""The one way to start a task: nothing fails without somebody seeing it.

A part of the worker that ends with an exception has failed beyond repair: the worker as a whole is told. Work on behalf
of one connection that does is that connection's misfortune: it is told instead, and goes on to be closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from presence_server.store import tasks

T = TypeVar("T")

logger: Final = logging.getLogger(__name__)


class Spawn:
    """Starts tasks, and ends them.

    Args:
        on_failure: is told of the exception that a part ended with.
    """

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()

    def part(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start what the worker cannot do without."""
        return self._start(work, self._on_failure)

    def work(self, work: Coroutine[Any, Any, T], on_failure: Callable[[BaseException], None]) -> asyncio.Task[T]:
        """Start something on behalf of a connection, which is told if it fails."""
        return self._start(work, on_failure)

    async def end(self) -> None:
        """Cancel everything, and wait until it has ended."""
        await tasks.end(self._tasks)

    def _start(self, work: Coroutine[Any, Any, T], on_failure: Callable[[BaseException], None]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def done(task: asyncio.Task[T]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (failure := task.exception()) is not None:
                on_failure(failure)

        task.add_done_callback(done)
        return task
