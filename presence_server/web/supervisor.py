"""Several server processes on one port: this one starts and watches them, and serves nobody itself.

Of uvicorn's own supervisor (`uvicorn.supervisors.Multiprocess`) nothing could be kept: it looks at nothing else while
it waits for a process to drain, takes a process for well whose event loop is stuck, starts one that ends again without
a pause, and leaves processes behind when it is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Final

from presence_server.settings import Settings
from presence_server.web import ports, totals
from presence_server.web.notify import ServiceManager
from presence_server.web.process import Process, Upward
from presence_server.web.share import Table
from presence_server.web.totals import Family

COMMAND: Sequence[str] = (sys.executable, "-m", "presence_server.web.member")
"""What starts a process; its arguments follow."""

# What took so long to end is started again at once; what ends sooner after a pause that doubles each time.
_STEADY_S: Final = 60.0
_SHORTEST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
# How long a restart waits for a new process to be able to serve.
_READY_S: Final = 60.0
_LOOK_S: Final = 1.0
# A worker silent for its lease is dead to the others anyway; a short lease may be shorter than a busy moment.
_LEAST_PATIENCE_S: Final = 10.0

_logger = logging.getLogger(__name__)


def run(
    settings: Settings,
    environment: dict[str, str],
    sockets: list[socket.socket],
    manager: ServiceManager,
    *,
    demo: bool,
) -> int:
    """Have `settings.workers` processes serve until a signal ends them; returns the exit status.

    Args:
        settings: with `redis_url` set.
        environment: of the processes; they read the same settings from it.
        sockets: bound and listening.
        manager: is told how it goes.
        demo: whether to serve the demo page.
    """
    return asyncio.run(Supervisor(settings, environment, sockets, manager, demo=demo).run())


class Slot:
    """What stays of a worker when its process is replaced by another.

    Attributes:
        number: from 1.
        asked: set when its process is to be replaced.
        answer: whether that went well.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[bool]


class Supervisor:
    """Keeps processes running until a signal comes.

    SIGTERM drains them all, SIGINT (Ctrl-C) in no time, a second of either kills them. SIGHUP replaces them one after
    another: each new one must be able to serve before the old one drains, and the old one be gone before the next turn.

    Args:
        settings: with `redis_url` set.
        environment: of the processes.
        sockets: that they are to accept from.
        manager: is told how it goes.
        demo: whether they serve the demo page.
    """

    def __init__(
        self,
        settings: Settings,
        environment: dict[str, str],
        sockets: Sequence[socket.socket],
        manager: ServiceManager,
        *,
        demo: bool,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._sockets = sockets
        self._manager = manager
        self._demo = demo
        # Two for each slot, as `_room` sees to, and those that are started in the same moment.
        self._table = Table(3 * settings.workers)
        self._slots = [Slot(number + 1) for number in range(settings.workers)]
        self._processes: set[Process] = set()
        self._past: list[Family] = []
        self._restarts = 0
        self._announced = False
        self._rolling = asyncio.Event()
        self._signalled = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[tuple[int, float]]

    async def run(self) -> int:
        """Start them and keep them running; returns the exit status."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end_by, number)
        loop.add_signal_handler(signal.SIGHUP, self._rolling.set)
        tasks = [*map(self._keep, self._slots), self._roll(), self._look()]
        keepers = [asyncio.create_task(task) for task in tasks]
        for keeper in keepers:
            keeper.add_done_callback(self._keeper_ended)
        # Who is silent is killed by `_look`; this one itself is well as long as its loop turns.
        self._manager.attend(lambda: any(each.ready for each in self._processes), lambda: True)
        status, timeout_s = await self._over
        self._manager.stopping()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*(process.end(timeout_s, alone=True) for process in self._processes))
        self._table.close()
        return status

    def _end_by(self, number: signal.Signals) -> None:
        if self._signalled:
            _logger.warning("Second signal: ending at once")
            for process in self._processes:
                process.kill()
            os._exit(128 + number)
        self._signalled = True
        self._finish(0, 0.0 if number == signal.SIGINT else self._settings.drain_timeout_s)

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (failure := keeper.exception()) is not None:
            _logger.critical("A part of the supervisor has failed: all drain and end", exc_info=failure)
            self._finish(os.EX_SOFTWARE, self._settings.drain_timeout_s)

    def _finish(self, status: int, timeout_s: float) -> None:
        if not self._over.done():
            self._over.set_result((status, timeout_s))

    # --- keeping them running ---------------------------------------------------------------------------------------

    async def _keep(self, slot: Slot) -> None:
        """Have one process running, for ever."""
        pause_s = 0.0
        while True:
            lived_s = 0.0
            try:
                process = await self._start(slot)
            except OSError as error:
                why = f"Worker {slot.number} could not be started: {error}"
            else:
                process = await self._stay(slot, process)
                told = _told(process.ended.result()) if process.ended.done() else "drains by itself"
                why, lived_s = f"{process} {told}", process.lived_s
            if not self._announced:
                _logger.critical("%s, before it took any connection", why)
                self._finish(1, 0.0)
                return
            pause_s = 0.0 if lived_s >= _STEADY_S else min(max(2 * pause_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
            _logger.error("%s; starting another in %g s", why, pause_s)
            self._restarts += 1
            await asyncio.sleep(pause_s)

    async def _stay(self, slot: Slot, process: Process) -> Process:
        """Wait until a process ends by itself, and replace it as often as is asked; returns the last one.

        One that drains by itself is not waited for: whoever wants to connect should not wait for it either.
        """
        while not (process.ended.done() or process.leaving.is_set()):
            asked, leaving = (asyncio.create_task(event.wait()) for event in (slot.asked, process.leaving))
            await asyncio.wait({process.ended, asked, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if slot.asked.is_set():
                slot.asked.clear()
                new = await self._replace(slot, process)
                slot.answer.set_result(new is not process)
                process = new
            asked.cancel()
            leaving.cancel()
        return process

    async def _room(self) -> None:
        """Wait while too many drain already: each takes memory, and a place in the table."""
        while len(self._processes) >= 2 * len(self._slots):
            await asyncio.wait([process.ended for process in self._processes], return_when=asyncio.FIRST_COMPLETED)

    async def _start(self, slot: Slot) -> Process:
        await self._room()
        place = self._table.take()
        descriptors = [listener.fileno() for listener in self._sockets]
        own = ["--table", str(self._table.descriptor), "--place", str(place), *["--demo"] * self._demo]
        command = [*COMMAND, *own, "--listeners", *map(str, descriptors)]
        inherited = [self._table.descriptor, *descriptors]
        upward = Upward(self._on_listening, self._on_sum)
        try:
            process = await Process.start(slot.number, command, self._environment, inherited, upward)
        except BaseException:
            self._table.give_back(place)
            raise
        self._processes.add(process)

        def forget(ended: asyncio.Task[int]) -> None:
            _logger.info("%s %s", process, _told(ended.result()))
            self._processes.discard(process)
            self._table.give_back(place)
            self._past = totals.add([self._past, totals.lasting(process.report)])

        process.ended.add_done_callback(forget)
        return process

    def _on_listening(self) -> None:
        if not self._announced:
            self._announced = True
            ports.announce(self._sockets, demo=self._demo)

    async def _look(self) -> None:
        patience_s = max(self._settings.lease_ttl_ms / 1000, _LEAST_PATIENCE_S)
        while True:
            await asyncio.sleep(_LOOK_S)
            for process in self._processes:
                process.look(_LOOK_S, patience_s)

    # --- replacing them ---------------------------------------------------------------------------------------------

    async def _roll(self) -> None:
        while True:
            await self._rolling.wait()
            # A signal that comes from here on begins another round: it may mean newer code.
            self._rolling.clear()
            _logger.info("Restarting all workers, one after another")
            self._manager.reloading()
            for slot in self._slots:
                slot.answer = asyncio.get_running_loop().create_future()
                slot.asked.set()
                if not await slot.answer:
                    _logger.error("The restart ends here: a new worker %d could not serve", slot.number)
                    break
            else:
                _logger.info("All workers are restarted")
            self._manager.reloaded()

    async def _replace(self, slot: Slot, process: Process) -> Process:
        """Start another process, and end this one once that can serve; returns the one that stays."""
        try:
            new = await self._start(slot)
        except OSError as error:
            _logger.error("Worker %d could not be started: %s", slot.number, error)
            return process
        serving = asyncio.create_task(new.serving.wait())
        await asyncio.wait({serving, new.ended}, timeout=_READY_S, return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        if not new.serving.is_set():
            await new.end(0.0, alone=False)
            return process
        await process.end(self._settings.drain_timeout_s, alone=False)
        return new

    # --- adding up what they count ----------------------------------------------------------------------------------

    def _on_sum(self, process: Process, number: int) -> None:
        task = asyncio.create_task(self._answer(process, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, process: Process, number: int) -> None:
        await asyncio.gather(*(each.ask() for each in self._processes))
        reports = [each.report for each in self._processes]
        process.answer(number, totals.add([*reports, self._past, totals.restarts(self._restarts)]))


def _told(status: int) -> str:
    return f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
