"""Telling the service manager how it goes: sd_notify(3) of systemd, or of whatever speaks as it does.

Datagrams to the unix socket that `NOTIFY_SOCKET` names, each of lines `NAME=value`. Without that variable nobody is
told anything, and nothing here costs anything.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final

# How long a start waits for Redis: from then on the server is up, and says 503, rather than hold up what waits for it.
_PATIENCE_S: Final = 10.0
_LOOK_S: Final = 1.0
_FIRST_LOOKS_S: Final = 0.1

_logger = logging.getLogger(__name__)


class ServiceManager:
    """Who started this process, and wants to know when it is ready, reloads, ends, and whether it is well.

    Args:
        address: of its datagram socket; a leading `@` stands for the abstract namespace. Empty for none.
        watchdog_s: within which it expects to hear that the process is well; None where it does not.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        self._socket: socket.socket | None = None
        self._look_s = _LOOK_S if watchdog_s is None else min(_LOOK_S, watchdog_s / 3)
        self._watched = watchdog_s is not None
        self._attending: asyncio.Task[None] | None = None
        self._unsent: list[str] = []
        self._complained = False
        self._address = "\0" + address[1:] if address.startswith("@") else address
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> ServiceManager:
        """Read who it is, and take that out: what this process starts does not speak for it."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        for_whom = environ.pop("WATCHDOG_PID", str(os.getpid()))
        watched = for_whom == str(os.getpid()) and microseconds.isdecimal() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if watched else None)

    def attend(self, is_ready: Callable[[], bool], is_well: Callable[[], bool]) -> None:
        """Say that the service is up as soon as it is ready, and from then on that it is well, for as long as it is.

        Args:
            is_ready: whether it can serve. One that cannot for ten seconds counts as up all the same.
            is_well: whether all its parts work; one that is not is no more spoken for.
        """
        if self._socket is not None:
            self._attending = asyncio.create_task(self._attend(is_ready, is_well))

    def reloading(self) -> None:
        """Say that the service is being replaced by newer code, part by part; `reloaded` says when that is over."""
        # In microseconds of the clock by which the manager knows a reload that it asked for from an earlier one.
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self) -> None:
        """Say that it is up again."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """Say that the service ends, by itself or as it was told; from here on nobody minds whether it is well."""
        if self._attending is not None:
            self._attending.cancel()
            self._attending = None
        self._tell("STOPPING=1\nSTATUS=Draining")

    def close(self) -> None:
        """Say no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def _attend(self, is_ready: Callable[[], bool], is_well: Callable[[], bool]) -> None:
        began_s = time.monotonic()
        while not (is_ready() or time.monotonic() - began_s > _PATIENCE_S):  # noqa: ASYNC110 - nobody would say so
            await asyncio.sleep(_FIRST_LOOKS_S)
        self._tell("READY=1")
        status = ""
        while True:
            now = "STATUS=Serving" if is_ready() else "STATUS=Redis is out of reach: statuses may be stale"
            if now != status:
                self._tell(now)
                status = now
            if self._watched and is_well():
                self._tell("WATCHDOG=1")
            await asyncio.sleep(self._look_s)
            self._send()

    def _tell(self, text: str) -> None:
        if self._socket is not None:
            # The newest of its kind says all: one who stands still for long is to learn of the start all the same.
            kind = text.partition("=")[0]
            self._unsent = [each for each in self._unsent if each.partition("=")[0] != kind]
            self._unsent.append(text)
            self._send()

    def _send(self) -> None:
        # One who has gone may come back under the same name: each is addressed anew (sd_notify(3)).
        try:
            while self._unsent and self._socket is not None:
                self._socket.sendto(self._unsent[0].encode(), self._address)
                del self._unsent[0]
                self._complained = False
        except BlockingIOError:
            pass
        except OSError as error:
            if not self._complained:
                _logger.warning("NOTIFY_SOCKET: Expected a datagram socket, got %s: nobody is told how it goes", error)
                self._complained = True
