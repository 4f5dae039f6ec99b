"""Free TCP ports, apart from those of other test runs on this machine and from those that outgoing connections take."""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from pathlib import Path

_LOWEST, _HIGHEST = 20_000, 32_000
_PER_PROCESS = 400


def _claim() -> int:
    """The first of a range of ports that is this process's own until it ends."""
    ranges = range(_LOWEST, _HIGHEST, _PER_PROCESS)
    for first in ranges:
        lock = os.open(Path(tempfile.gettempdir()) / f"presence-test-ports-{first}.lock", os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        # Inherited by nobody, and never closed: the system gives it back when the process is gone.
        return first
    raise RuntimeError(f"Expected one of {len(ranges)} ranges of ports to be free, got none: fewer test runs at once?")


_first = _claim()
_candidates = itertools.cycle(range(_first, _first + _PER_PROCESS))


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
