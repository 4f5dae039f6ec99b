"""Child processes of a run that serve HTTP: a Python module of some checkout."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_READY_S: Final = 20.0
_STOP_S: Final = 10.0


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body of a GET from 127.0.0.1."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


@contextlib.contextmanager
def serving(folder: Path, port: int, log: Path, *module: str, **variables: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module until the end of the block, in which it is ready.

    Args:
        folder: where the module's package is.
        port: where it listens.
        log: the file that takes what it prints.
        module: the module and its arguments.
        variables: for its environment, which else has none of the server's own.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    environment = kept | {"PYTHONPATH": str(folder)} | {name: str(value) for name, value in variables.items()}
    command = [sys.executable, "-m", *module]
    with log.open("ab") as sink:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=sink, stderr=sink)
    try:
        _await_ready(process, port, log)
        yield process
    finally:
        # Nothing of it is kept, and its connections need no drain.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if get(port, "/readyz")[0] == 200:
                return
        time.sleep(0.05)
    last = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
    raise RuntimeError(f"Expected {log.stem} to become ready, got:\n{last}")
