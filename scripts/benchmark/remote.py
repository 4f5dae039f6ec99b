"""An object that lives in a process of its own, so that what it does is in no other process's CPU time."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import uvloop

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


class Remote(Generic[T]):
    """A process that makes an object and carries out what is asked of it, one call at a time.

    Everything given and returned is pickled. The object's tasks go on between calls.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def make(self, kind: Callable[P, T], *args: P.args, **named: P.kwargs) -> None:
        """Make the object; the one before is forgotten."""
        self._order(None, kind, args, named)

    def call(self, method: Callable[Concatenate[T, P], Coroutine[Any, Any, R]], *args: P.args, **named: P.kwargs) -> R:
        """Carry out one of the object's coroutine methods, given as `Class.method`, and return what it does.

        Raises:
            RuntimeError: it failed.
        """
        answer: R = self._order(method, None, args, named)
        return answer

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()

    def _order(self, *order: Any) -> Any:
        try:
            self._connection.send(order)
            done, answer = self._connection.recv()
        except (EOFError, OSError) as exc:
            raise RuntimeError(f"Expected process {self.pid} to answer, got {exc!r}") from exc
        if not done:
            raise RuntimeError(f"Expected {order[0] or order[1]} to work, got {answer}")
        return answer


def _serve(connection: Connection) -> None:
    # Ctrl-C is for the process that measures: it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(_answer(connection))


async def _answer(connection: Connection) -> None:
    held: Any = None
    while True:
        try:
            method, kind, args, named = await asyncio.to_thread(connection.recv)
        except EOFError:
            return
        try:
            answer = None
            if method is None:
                held = kind(*args, **named)
                # What has been made by now stays; looking through it again and again is not to be measured.
                gc.freeze()
            else:
                answer = await method(held, *args, **named)
        except Exception as exc:
            connection.send((False, repr(exc)))
        else:
            connection.send((True, answer))
