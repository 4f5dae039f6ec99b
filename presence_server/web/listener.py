"""Accepting connections a few at a time.

An event loop that takes whatever waits, as uvloop does, is busy with a thousand handshakes in one turn when a thousand
clients come back at once, and nobody else is served meanwhile. What waits here, waits in the kernel's backlog.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from presence_server.web.descriptors import Descriptors

# Each leads to a handshake, a token and a join within the next turns: about 6 ms of work.
AT_ONCE: Final = 16
# Out of file descriptors: how long to wait for some to be closed.
_EXHAUSTED_S: Final = 0.1
# How long another process has to take what it should.
_PATIENCE_S: Final = 0.003

_logger: Final = logging.getLogger(__name__)


class Listener:
    """Accepts from one listening socket; has what uvicorn wants of a server.

    Args:
        listener: bound and listening.
        make_protocol: makes the protocol of a connection.
        in_turn: whether this process should accept now, rather than another that listens on the same socket.
        descriptors: how many connections there may be.
    """

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        in_turn: Callable[[], bool] = lambda: True,
        descriptors: Descriptors | None = None,
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._in_turn = in_turn
        self._descriptors = Descriptors() if descriptors is None else descriptors
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Accept no more."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Wait for the connections that are being made."""
        await asyncio.gather(*self._tasks)

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._readable)

    def _readable(self) -> None:
        if self._in_turn():
            self._accept()
        else:
            self._loop.remove_reader(self._listener)
            self._again = self._loop.call_later(_PATIENCE_S, self._accept_late)

    def _accept_late(self) -> None:
        self._listen()
        self._accept()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            if not self._descriptors.left(self._listener.fileno()):
                self._rest()
                return
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                self._complain(exc)
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._make(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _make(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, accepted)
        except Exception as exc:
            accepted.close()
            _logger.warning("A connection could not be made: %s", exc)

    def _complain(self, exc: OSError) -> None:
        # Anything else befell one peer alone (accept(2) hands on its network errors).
        if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            _logger.error("Expected to accept a connection, got '%s'; raise the limit of open files", exc.strerror)
            self._rest()

    def _rest(self) -> None:
        self._loop.remove_reader(self._listener)
        self._again = self._loop.call_later(_EXHAUSTED_S, self._listen)
