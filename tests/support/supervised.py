"""A server of several processes: ``serve --workers N``, in which a test can break a part."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.worker import Worker


class Supervised(Worker):
    """One supervisor and its processes, on one port.

    Args:
        processes: how many.
    """

    def __init__(self, name: str, directory: Path, settings: Mapping[str, object], *, processes: int) -> None:
        super().__init__(name, directory, settings)
        self.processes = processes
        self.command[2:] = ["tests.support.breakable", "serve", "--workers", str(processes)]

    def start(self) -> None:
        """Start and wait until every process serves."""
        self.spawn()
        # Several interpreters that load at once take longer than one.
        self.await_sync(lambda: self.readyz() == 200, within_s=60)
        if self.processes > 1:
            self.await_sync(lambda: self.log().count("Taking connections") >= self.processes, within_s=60)

    def members(self) -> list[int]:
        """The process ids of those that serve, in the order in which they were started."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        return sorted(int(pid) for pid, parent, args in rows if int(parent) == self.pid and " member " in args)

    def gone(self, *pids: int) -> bool:
        """Whether none of these processes is there any more."""
        return not any(_exists(pid) for pid in pids)

    def break_part(self, pid: int) -> None:
        """Let a part of one process fail beyond repair; of the only one, where there is one alone."""
        os.kill(pid, signal.SIGUSR1)

    def hang_up(self) -> None:
        """Ask for a restart of every process."""
        self._signal(signal.SIGHUP)


def _exists(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
