"""A server of several processes: ``serve --workers N``, in which a test can break a part."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.support.client import Client
from tests.support.timing import GRACE_S, LEASE_S
from tests.support.worker import Worker

# Long enough for a hundred clients of one busy test to come back in; real ones have 20 s.
PATIENT = {"lease_ttl": 4 * LEASE_S, "disconnect_grace": 4 * GRACE_S}


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

    async def scrape(self) -> dict[str, float]:
        """The metrics, from whichever process takes a new connection."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            answer = await http.get(self.http_url + "/metrics")
        assert answer.status_code == 200, answer.text
        return {name: float(value) for name, value in re.findall(r"^([a-z]\S*) (\S+)$", answer.text, re.MULTILINE)}

    def break_part(self, pid: int) -> None:
        """Let a part of one process fail beyond repair; of the only one, where there is one alone."""
        os.kill(pid, signal.SIGUSR1)

    def hang_up(self) -> None:
        """Ask for a restart of every process."""
        self._signal(signal.SIGHUP)


Connect = Callable[..., Awaitable[Client]]
"""Brings a user in: ``await connect("maria", resume_from=client)``."""


@asynccontextmanager
async def living(connect: Connect, people: dict[str, Client]) -> AsyncIterator[dict[str, Client]]:
    """While this lasts, whoever is told to reconnect or cut off does so, and resumes, as a browser does."""

    async def live(user: str) -> None:
        while True:
            await people[user].closed(4001, 1006, within_s=600)
            people[user] = await connect(user, resume_from=people[user])

    tasks = [asyncio.create_task(live(user)) for user in people]
    try:
        yield people
        assert [task for task in tasks if task.done()] == []
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result for result in results if not isinstance(result, asyncio.CancelledError)] == []


def _exists(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
