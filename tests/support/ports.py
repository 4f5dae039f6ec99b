"""Free TCP ports, apart from each other under pytest-xdist and apart from the ports that outgoing connections take."""

from __future__ import annotations

import itertools
import os
import socket

_LOWEST = 20_000
_PER_PROCESS = 1_000

_xdist_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_first = _LOWEST + (_xdist_worker % 12) * _PER_PROCESS
_candidates = itertools.cycle(range(_first + os.getpid() % _PER_PROCESS, _first + _PER_PROCESS + os.getpid() % 500))


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on; each call gives another one."""
    for _ in range(_PER_PROCESS):
        port = next(_candidates)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"Expected a free port from {_first} on, got none")
