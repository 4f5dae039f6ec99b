"""Child processes of a run, and where they listen."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_READY_S: Final = 20.0
_STOP_S: Final = 10.0
# The packages this one is started from, so that children find them wherever they run.
_PATH: Final = os.pathsep.join(str(Path(__file__).parents[parent]) for parent in (1, 2))


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(variables: Mapping[str, object]) -> dict[str, str]:
    """This process's environment without the server's own variables, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    return kept | {"PYTHONPATH": _PATH} | {name: str(value) for name, value in variables.items()}


class Child:
    """A Python module running as a process that serves HTTP.

    Args:
        module: the module and its arguments.
        variables: for its environment.
        port: where it listens.
        log: the file that takes what it prints.
    """

    def __init__(self, module: Sequence[str], variables: Mapping[str, object], port: int, log: Path) -> None:
        self.port = port
        self._log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module], env=environment(variables), stdout=sink, stderr=sink
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def stop(self) -> None:
        """End it at once: its connections are gone, and nothing of it is kept."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                if self.get("/readyz")[0] == 200:
                    return
            time.sleep(0.05)
        last = "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])
        raise RuntimeError(f"Expected {self._log.stem} to become ready, got:\n{last}")
