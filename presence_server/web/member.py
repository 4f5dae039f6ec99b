"""One process of many: what a supervisor starts, `python -m presence_server.web.member`.

It serves as a process alone does, on sockets that it was given. With the supervisor it has a line (`web.line`), over
which it learns that it is to end, says that it is well, and has what all have counted added up.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette

from presence_server.errors import SettingsError, Unavailable
from presence_server.settings import Settings, load
from presence_server.web import logs, metrics, server
from presence_server.web.app import create_app
from presence_server.web.line import Line, Message
from presence_server.web.share import Share

_BEAT_S: Final = 1.0
# While a supervisor waits for this process to be ready.
_FIRST_BEATS_S: Final = 0.1
_SUM_S: Final = 2.0
_SUMS_AT_ONCE: Final = 16

_logger = logging.getLogger(__name__)


class Member(server.DrainingServer):
    """A server under a supervisor.

    Args:
        app: the application.
        settings: with `redis_url` set.
        line: this end of the line.
        share: of the connections.
    """

    def __init__(self, app: Starlette, settings: Settings, line: socket.socket, share: Share) -> None:
        super().__init__(
            server.configuration(app, settings),
            **server.life_of(app, settings),
            on_listening=lambda: _logger.info("Taking connections"),
            share=share,
        )
        self._app = app
        self._place = share
        self._line_end = line
        self._line: Line | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sums: dict[int, asyncio.Future[list[Metric]]] = {}
        self._numbers = itertools.count(1)
        app.state.add_up = self.add_up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._line = await Line.open(self._line_end)
        self._spawn(self._obey(self._line))
        await super().startup(sockets)

    async def await_turn(self) -> None:
        """Wait until Redis is there, if others take connections meanwhile that could serve them sooner."""
        assert self._line is not None
        self._spawn(self._beat(self._line))
        while self._place.served() and not (self._app.state.worker.ready or self.should_exit):  # noqa: ASYNC110
            await asyncio.sleep(_FIRST_BEATS_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        assert self._line is not None
        # Whatever happened up to the end counts.
        await self._report(self._line)
        for task in self._tasks:
            task.cancel()
        await self._line.close()

    async def add_up(self) -> list[Metric]:
        """Return what all processes have counted together.

        Raises:
            Unavailable: the supervisor does not answer. A part of the sum would look like counters that fell.
        """
        if len(self._sums) >= _SUMS_AT_ONCE or self._line is None:
            raise Unavailable("Expected fewer scrapes at once: try again")
        number = next(self._numbers)
        answer: asyncio.Future[list[Metric]] = asyncio.get_running_loop().create_future()
        self._sums[number] = answer
        self._line.send({"sum": number})
        try:
            async with asyncio.timeout(_SUM_S):
                found = await answer
        except TimeoutError:
            raise Unavailable(f"Expected the supervisor to answer within {_SUM_S:g} s, got nothing") from None
        finally:
            del self._sums[number]
        return found

    def begin_drain(self, timeout_s: float, *, alone: bool = False) -> None:
        if self._line is not None:
            self._line.send({"leaving": True})
        super().begin_drain(timeout_s, alone=alone)

    async def _obey(self, line: Line) -> None:
        async for message in line.messages():
            self._take(line, message)
        _logger.warning("The supervisor is gone")
        self.begin_drain(self._drain_timeout_s, alone=True)

    def _take(self, line: Line, message: Message) -> None:
        if "drain" in message:
            self.begin_drain(message["drain"], alone=message["alone"])
        elif "report" in message:
            self._spawn(self._report(line))
        elif (answer := self._sums.get(message.get("sum", 0))) is not None and not answer.done():
            answer.set_result(metrics.from_plain(message["families"]))

    async def _report(self, line: Line) -> None:
        line.send({"report": metrics.to_plain(await metrics.collect(self._app))})

    async def _beat(self, line: Line) -> None:
        """Say that the loop turns: a process that stands still, or is stuck, is silent."""
        while True:
            ready = self.started and self._app.state.worker.ready
            line.send({"listening": self.started, "ready": ready})
            await asyncio.sleep(_BEAT_S if ready else _FIRST_BEATS_S)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the supervisor or a signal ends it; returns the exit status.

    Args:
        arguments: without the program's name; those of the process when None.
    """
    parser = argparse.ArgumentParser(description="A process of `presence-server serve --workers`, which starts it.")
    parser.add_argument("--number", type=int, required=True, help="how the log calls it")
    parser.add_argument("--line", type=int, required=True, help="descriptor of the line to the supervisor")
    parser.add_argument("--table", type=int, required=True, help="descriptor of the table of connections")
    parser.add_argument("--place", type=int, required=True, help="the process's place in it")
    parser.add_argument("--listeners", type=int, nargs="+", required=True, help="descriptors of listening sockets")
    parser.add_argument("--demo", action="store_true")
    options = parser.parse_args(arguments)
    # The supervisor's to answer, whoever else hears it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        settings = load(os.environ, {}, key_required=True)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure(settings.log_level, settings.log_format, worker=options.number)
    server.raise_file_limit()
    share = Share(options.table, options.place)
    line = socket.socket(fileno=options.line)
    member = Member(create_app(settings, demo=options.demo), settings, line, share)
    member.run([socket.socket(fileno=descriptor) for descriptor in options.listeners])
    return member.status


if __name__ == "__main__":
    sys.exit(main())
