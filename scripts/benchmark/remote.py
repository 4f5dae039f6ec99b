"""An object that lives in a process of its own, so that what it does is in no other process's CPU time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import uvloop

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

# Of the other process: its object, and the loop that runs in a thread between calls, too.
_held: Any = None
_loop = uvloop.new_event_loop()


class Remote(Generic[T]):
    """A process that makes an object and carries out what is asked of it, one call at a time.

    Everything given and returned is pickled. What fails there is raised here.
    """

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start)
        self.pid = self._pool.submit(os.getpid).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def make(self, kind: Callable[P, T], *args: P.args, **named: P.kwargs) -> None:
        """Make the object; the one before is forgotten."""
        self._pool.submit(_make, kind, args, named).result()

    def begin(
        self, method: Callable[Concatenate[T, P], Coroutine[Any, Any, R]], *args: P.args, **named: P.kwargs
    ) -> Future[R]:
        """Have one of the object's coroutine methods, given as `Class.method`, carried out."""
        return self._pool.submit(_call, method, args, named)

    def call(self, method: Callable[Concatenate[T, P], Coroutine[Any, Any, R]], *args: P.args, **named: P.kwargs) -> R:
        """The same, and wait for what it returns."""
        return self.begin(method, *args, **named).result()

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._pool.shutdown(cancel_futures=True)


def _start() -> None:
    # Ctrl-C is for the process that measures: it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_loop.run_forever, daemon=True).start()


def _make(kind: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> None:
    async def make() -> None:
        global _held
        _held = kind(*args, **named)
        # What has been made by now stays; looking through it again and again is not to be measured.
        gc.freeze()

    asyncio.run_coroutine_threadsafe(make(), _loop).result()


def _call(method: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(method(_held, *args, **named), _loop).result()
