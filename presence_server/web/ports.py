"""Listening sockets: every address of a host, on one port."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Sequence
from typing import Any, Final

from presence_server.errors import StartupError

BACKLOG: Final = 4096

_logger = logging.getLogger(__name__)


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host`, on the same port even if that is 0; nothing is accepted yet.

    Raises:
        StartupError: the port is taken, or the host is not this machine.
    """
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            shared_port = listeners[0].getsockname()[1] if listeners else port
            try:
                listeners.append(_listen_on(family, (address[0], shared_port, *address[2:])))
            except OSError as error:
                # "localhost" is ::1, too, even where there is no IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
        if missing is not None and not listeners:
            raise missing
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise StartupError(_explain(error, host, port)) from error
    return listeners


def _listen_on(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" alone means both; beside an address of IPv4, it would take that one's port too.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def announce(listeners: Sequence[socket.socket], *, demo: bool) -> None:
    """Tell that connections are taken; of a demo, on standard output and where to look."""
    url = listening_url(listeners[0])
    _logger.info("Listening on %s", url)
    if demo:
        print(f"\n  The demo is ready: open {url}/  Ctrl-C ends it.\n", flush=True)


def listening_url(listener: socket.socket) -> str:
    """The address to open in a browser on this machine."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Expected port {port} of {host} to be free, but another program listens there. "
            "Set PRESENCE_PORT to another one (0 takes any that is free)"
        )
    if error.errno == errno.EACCES:
        return f"Expected to be allowed to listen on port {port}, got: {error}. Set PRESENCE_PORT to 1024 or above"
    return f"Expected to listen on {host}, got: {error}. Set PRESENCE_HOST to an address of this machine"
