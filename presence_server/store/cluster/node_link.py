"""Commands to one node: what is asked for in one turn of the loop goes in one pipeline, whoever asks.

A worker beats in each of many partitions twice a second; by node, that is one pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from presence_server.store import tasks
from presence_server.store.link import AT_ONCE, Command, Link, OutOfReach

# Commands in one pipeline, unless somebody asks for more at once.
_AT_MOST: Final = 200
# Between attempts to reach a node that did not answer.
_AGAIN_S: Final = 0.1
# After nobody has wanted anything of it for so long, it is not tried any more.
_WANTED_S: Final = 5.0

_Asked: TypeAlias = tuple[Sequence[Command], asyncio.Future[list[Any]]]


class NodeLink:
    """One node.

    Args:
        link: its connections.

    Attributes:
        silent: why the last pipeline failed, as long as the node is only tried; empty otherwise.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self._waiting: list[_Asked] = []
        self._pipelines: set[asyncio.Task[None]] = set()
        self.silent = ""
        self._trying: asyncio.Task[None] | None = None
        self._wanted_s = 0.0
        self._closed = False

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in order; gives their replies, errors in their places.

        As long as a node does not answer, nobody waits for it: it is tried apart, again and again.

        Raises:
            OutOfReach: the node is; any of the commands may or may not have been carried out.
        """
        loop = asyncio.get_running_loop()
        self._wanted_s = loop.time()
        if self.silent:
            raise OutOfReach(f"no answer a moment ago: {self.silent}")
        future: asyncio.Future[list[Any]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((commands, future))
        return await future

    async def close(self) -> None:
        """Close its connections."""
        self._closed = True
        await tasks.end([*self._pipelines, *([self._trying] if self._trying else [])])
        await self.link.close()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        while waiting:
            size, portion = 0, list[_Asked]()
            while waiting and (not portion or size + len(waiting[0][0]) <= _AT_MOST):
                size += len(waiting[0][0])
                portion.append(waiting.pop(0))
            task = asyncio.get_running_loop().create_task(self._pipeline(portion))
            self._pipelines.add(task)
            task.add_done_callback(partial(self._ended, portion))

    def _ended(self, portion: Sequence[_Asked], task: asyncio.Task[None]) -> None:
        self._pipelines.discard(task)
        # It may have been cancelled before it began.
        _fail(portion, OutOfReach("the connection was closed"))

    async def _pipeline(self, portion: Sequence[_Asked]) -> None:
        try:
            replies = await self.link.exchange([command for commands, _ in portion for command in commands])
        except OutOfReach as exc:
            _fail(portion, exc)
            self._fell_silent(exc)
            return
        for commands, future in portion:
            mine, replies = replies[: len(commands)], replies[len(commands) :]
            if not future.done():
                future.set_result(mine)

    def _fell_silent(self, exc: OutOfReach) -> None:
        self.silent = str(exc)
        if self._trying is None and not self._closed:
            self._trying = asyncio.get_running_loop().create_task(self._try_again())
        if isinstance(exc.__cause__, TimeoutError):
            # What was sent after that will not be answered sooner.
            for pipeline in self._pipelines - {asyncio.current_task()}:
                pipeline.cancel()

    async def _try_again(self) -> None:
        attempts = 0
        try:
            while asyncio.get_running_loop().time() < self._wanted_s + _WANTED_S:
                try:
                    await self.link.exchange([("TIME",)])
                    return
                except OutOfReach as exc:
                    self.silent = str(exc)
                    attempts += 1
                    # Each of its connections may be stale, and the node well.
                    if attempts >= AT_ONCE:
                        await asyncio.sleep(_AGAIN_S)
        finally:
            self.silent, self._trying = "", None


def _fail(portion: Sequence[_Asked], failure: OutOfReach) -> None:
    for _, future in portion:
        if not future.done():
            future.set_exception(failure)
            # Who asked may have gone.
            future.exception()
