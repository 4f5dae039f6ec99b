"""One server process as its supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Self

from presence_server.web.line import Line
from presence_server.web.totals import Family

# Until a process says something for the first time: it loads its code on a busy machine.
_START_S: Final = 60.0
# One that stands still must not hold up a scrape; what it said last is nearly as good.
_REPORT_S: Final = 0.5
# Beyond the time for its connections: the last requests, and the last words to Redis.
_OVERTIME_S: Final = 15.0

_logger = logging.getLogger(__name__)


class Upward(NamedTuple):
    """What a supervisor is told.

    Attributes:
        on_listening: the process takes connections.
        on_sum: it asks for what all have counted; with the number of its question.
    """

    on_listening: Callable[[], None]
    on_sum: Callable[[Process, int], None]


class Process:
    """A process from its start to its end; `start` makes it.

    Attributes:
        number: how the log calls it; a process and the one that replaces it have the same.
        listening: set once it takes connections.
        serving: set once it could serve.
        ready: whether it could when it said so last.
        leaving: set once it drains.
        report: the families of metrics that it reported last.
        ended: done when it is gone; its result is the exit status, negative for a signal.
    """

    def __init__(self, number: int, child: asyncio.subprocess.Process, line: Line) -> None:
        self.number = number
        self.listening = asyncio.Event()
        self.serving = asyncio.Event()
        self.leaving = asyncio.Event()
        self.ready = False
        self.report: list[Family] = []
        self._child = child
        self._line = line
        self._started_s = time.monotonic()
        self._heard = False
        self._silent_s = 0.0
        self._reported: asyncio.Future[None] | None = None
        self.ended: asyncio.Task[int]

    @classmethod
    async def start(
        cls,
        number: int,
        command: Sequence[str],
        environment: dict[str, str],
        descriptors: Sequence[int],
        upward: Upward,
    ) -> Self:
        """Start a process.

        Args:
            number: how the log calls it.
            command: program and arguments, without the number and the descriptor of its end of the line.
            environment: all of it.
            descriptors: what it inherits.
            upward: who is told.

        Raises:
            OSError: the system has no room for another process.
        """
        here, there = socket.socketpair()
        with there:
            own = ["--number", str(number), "--line", str(there.fileno())]
            child = await asyncio.create_subprocess_exec(
                *command,
                *own,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[there.fileno(), *descriptors],
                # Ctrl-C reaches every process of the terminal's group; when these end is the supervisor's to say.
                process_group=0,
            )
        process = cls(number, child, await Line.open(here))
        process.ended = asyncio.create_task(process._follow(upward))
        return process

    @property
    def lived_s(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._started_s

    def __str__(self) -> str:
        return f"Worker {self.number} (process {self._child.pid})"

    def look(self, passed_s: float, patience_s: float) -> None:
        """Kill it if it has been silent for too long: it stands still, or is stuck, and serves nobody.

        Args:
            passed_s: since the last look; not by the clock, which goes on while the supervisor itself stands still.
            patience_s: how long it may be silent.
        """
        self._silent_s += passed_s
        if self._silent_s > (patience_s if self._heard else _START_S):
            _logger.error("%s has been silent for %g s: killing it", self, self._silent_s)
            self.kill()

    async def ask(self) -> None:
        """Have it report, and wait for that, but not for long."""
        if self._reported is None:
            self._reported = asyncio.get_running_loop().create_future()
            self._line.send({"report": True})
        either: set[asyncio.Future[Any]] = {self._reported, self.ended}
        await asyncio.wait(either, timeout=_REPORT_S, return_when=asyncio.FIRST_COMPLETED)

    def answer(self, number: int, families: Sequence[Family]) -> None:
        """Tell it what all have counted."""
        self._line.send({"sum": number, "families": families})

    async def end(self, timeout_s: float, *, alone: bool) -> None:
        """Have it drain, and wait until it is gone; one that takes too long is killed.

        Args:
            timeout_s: over how long it closes its connections.
            alone: no other process stays to take connections.
        """
        self._line.send({"drain": timeout_s, "alone": alone})
        await asyncio.wait({self.ended}, timeout=timeout_s + _OVERTIME_S)
        if not self.ended.done():
            _logger.error("%s has not ended in time: killing it", self)
            self.kill()
            await asyncio.wait({self.ended})

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()

    async def _follow(self, upward: Upward) -> int:
        async for message in self._line.messages():
            self._heard, self._silent_s = True, 0.0
            if "listening" in message:
                if message["listening"] and not self.listening.is_set():
                    self.listening.set()
                    upward.on_listening()
                self.ready = message["ready"]
                if self.ready:
                    self.serving.set()
            elif "report" in message:
                self.report = message["report"]
                if self._reported is not None:
                    self._reported.set_result(None)
                    self._reported = None
            elif "leaving" in message:
                self.leaving.set()
            elif "sum" in message:
                upward.on_sum(self, message["sum"])
        status = await self._child.wait()
        await self._line.close()
        return status
