"""A child process whose output is kept, and that can be killed, stood still and woken."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.support.timing import UNIT

started: list[Process] = []
"""Every process that has not been closed yet: what a failed test shows the logs of."""


class Process:
    """A child process; everything it prints goes to `log_path`.

    Args:
        name: how reports call it.
        command: program and arguments.
        environment: its whole environment.
        directory: where it runs and where its log is kept.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.directory = directory
        self.log_path = directory / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._shown = 0

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def resident_kb(self) -> int:
        """Its resident memory, kilobytes."""
        (found,) = re.findall(r"^VmRSS:\s*(\d+)", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        return int(found)

    def spawn(self) -> None:
        """Start the process without waiting for anything."""
        assert not self.alive, f"Expected {self.name} not to be running"
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started.append(self)

    def kill(self) -> None:
        """End it as a crash would, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self.wait_sync()

    def terminate(self) -> None:
        """Ask it to end; see `wait`."""
        self._signal(signal.SIGTERM)

    def interrupt(self) -> None:
        self._signal(signal.SIGINT)

    def pause(self) -> None:
        """Stand it still: it holds its sockets, but does nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def wait_sync(self, within_s: float = 60.0) -> int:
        """Block until it has ended; returns the exit status (negative: the signal that ended it)."""
        child = self._running()
        try:
            status = child.wait(within_s * UNIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"Expected {self.name} to end within {within_s} s, got:\n{self.tail()}") from None
        if self in started:
            started.remove(self)
        return status

    async def wait(self, within_s: float = 60.0) -> int:
        """As `wait_sync`, while the test's clients go on."""
        return await asyncio.to_thread(self.wait_sync, within_s)

    def close(self) -> None:
        """Make sure that it is gone, in whatever state it is; if it can, it ends in order, and leaves its coverage."""
        if self.alive:
            self.interrupt()
            try:
                self.wait_sync(4.0)
            except AssertionError:
                self.kill()
        elif self in started:
            started.remove(self)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def tail(self, characters: int = 4_000) -> str:
        return self.log()[-characters:]

    def mark_log(self) -> None:
        """From here on belongs to the next test."""
        self._shown = self.log_path.stat().st_size if self.log_path.exists() else 0

    def log_since_mark(self) -> str:
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._shown)
            return log.read().decode(errors="replace")

    def await_sync(self, ready: Callable[[], bool], within_s: float = 60.0) -> None:
        """Block until `ready()` is true; fails at once when the process ends before.

        Args:
            ready: called without arguments, a few dozen times a second.
        """
        deadline = time.monotonic() + within_s * UNIT
        while not ready():
            if not self.alive:
                raise AssertionError(f"Expected {self.name} to start, but it ended:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"Expected {self.name} to be ready within {within_s} s:\n{self.tail()}")
            time.sleep(0.03)

    def _signal(self, number: signal.Signals) -> None:
        # Not os.kill: the id of a process that has ended may be another's by now.
        self._running().send_signal(number)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._child is not None, f"Expected {self.name} to have been started"
        return self._child
