"""What a supervisor does about processes that do not behave. With real ones: tests/system/test_workers.py."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from presence_server.settings import Settings
from presence_server.web import ports, process, supervisor
from presence_server.web.notify import ServiceManager
from presence_server.web.process import Process
from presence_server.web.supervisor import Supervisor
from tests.support.polling import becomes
from tests.support.timing import SOON_S

# It speaks the supervisor's language (web/line.py), and is otherwise as bad as the file says.
PROGRAM = """
import argparse, json, os, socket, sys, time

def say(**message):
    line.sendall(json.dumps(message).encode() + b"\\n")

parser = argparse.ArgumentParser()
parser.add_argument("--line", type=int)
line = socket.socket(fileno=parser.parse_known_args()[0].line)
kind = open(os.environ["KIND"]).read()
if kind == "broken":
    sys.exit(3)
if kind == "mute":
    time.sleep(60)
say(listening=True, ready=kind != "unready")
if kind == "short":
    sys.exit(4)
if kind == "silent":
    time.sleep(60)
if kind.startswith("leaving"):
    say(leaving=True)
    time.sleep(float(kind.split()[1]))
    sys.exit(70)
while True:
    say(listening=True, ready=kind != "unready")
    if kind == "babbling":
        line.sendall(b"{not JSON\\n")
    line.settimeout(0.05)
    try:
        told = line.recv(1000)
    except TimeoutError:
        continue
    if b"drain" in told and kind != "deaf":
        break
"""


class Running:
    """A supervisor in this process, and what it logs.

    Attributes:
        kind: the file that says how processes behave that are started from now on.
        task: ends with the supervisor; its result is the exit status.
    """

    def __init__(self, kind: Path, log: pytest.LogCaptureFixture, workers: int) -> None:
        self.kind = kind
        self._log = log
        (self._socket,) = ports.listen("127.0.0.1", 0)
        environment = os.environ | {"KIND": str(kind)}
        self.supervisor = Supervisor(
            Settings(workers=workers, drain_timeout_s=0.1), environment, [self._socket], ServiceManager(), demo=False
        )
        self.task = asyncio.create_task(self.supervisor.run())

    async def logged(self, text: str, times: int = 1) -> None:
        """Wait until something was logged that matches."""

        async def count() -> int:
            if self.task.done():
                self.task.result()
            return min(times, len(self.found(text)))

        await becomes(count, times, within_s=4 * SOON_S)

    def found(self, text: str) -> list[str]:
        return re.findall(text, self._log.text)

    async def serve(self, count: int) -> None:
        """Wait until there are so many processes, and all could serve."""

        async def serving() -> list[bool]:
            return [each.serving.is_set() for each in self.supervisor._processes]

        await becomes(serving, [True] * count, within_s=4 * SOON_S)

    async def ends(self) -> int:
        async with asyncio.timeout(6 * SOON_S):
            return await self.task

    async def close(self) -> None:
        if not self.task.done():
            os.kill(os.getpid(), signal.SIGTERM)
            # Some of them would take their time.
            for each in self.supervisor._processes:
                each.kill()
            await self.ends()
        self._socket.close()


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Start]:
    """Starts a supervisor of processes of a kind."""
    monkeypatch.setattr(supervisor, "COMMAND", (sys.executable, "-c", PROGRAM))
    monkeypatch.setattr(supervisor, "_SHORTEST_PAUSE_S", 0.01)
    caplog.set_level("INFO")
    running: list[Running] = []

    async def start(kind: str, workers: int = 1) -> Running:
        (tmp_path / "kind").write_text(kind)
        running.append(Running(tmp_path / "kind", caplog, workers))
        return running[0]

    yield start
    for each in running:
        await each.close()


async def test_processes_that_never_come_up_end_it_with_status_1(start: Start) -> None:
    """What watches the supervisor shall know."""
    running = await start("broken", workers=2)
    assert await running.ends() == 1
    assert running.found(r"CRITICAL .*Worker \d \(process \d+\) ended with status 3, before it took any connection")


async def test_a_process_that_ends_again_and_again_is_started_after_longer_pauses(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_LONGEST_PAUSE_S", 0.05)
    running = await start("short")
    await running.logged("starting another", times=5)
    assert running.found(r"another in (\S+) s")[:5] == ["0.01", "0.02", "0.04", "0.05", "0.05"]
    running.kind.write_text("good")
    await running.serve(1)


async def test_nobody_waits_for_a_process_that_drains_by_itself(start: Start) -> None:
    running = await start("leaving 30")
    await running.logged(r"Worker 1 \(process \d+\) drains by itself; starting another in 0.01 s")
    await running.logged("drains by itself", times=2)
    running.kind.write_text("good")
    assert len(running.supervisor._processes) == 2
    # No more than two for each slot: the next one waits for room.
    assert running.found("with status") == []
    for each in running.supervisor._processes:
        each.kill()
    await running.serve(1)


async def test_how_a_process_ended_that_drained_by_itself_is_told(start: Start) -> None:
    running = await start("leaving 0.2")
    await running.logged(r"INFO .*Worker 1 \(process \d+\) ended with status 70")


async def test_a_process_that_has_lived_for_long_is_started_again_at_once(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_STEADY_S", 0.0)
    running = await start("short")
    await running.logged("another in 0 s", times=2)


async def test_a_process_that_cannot_be_started_is_tried_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await start("short")
    await running.logged("starting another")

    async def fail(*_: object) -> Process:
        raise OSError("Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(Process, "start", fail)
        await running.logged("Worker 1 could not be started: Resource temporarily unavailable; starting another")
        # The places of those that were not started were given back.
        await running.logged("could not be started", times=4)
    running.kind.write_text("good")
    await running.serve(1)


async def test_a_process_that_takes_for_ever_to_start_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_LOOK_S", 0.05)
    running = await start("good")
    await running.serve(1)
    monkeypatch.setattr(process, "_START_S", 0.5)
    running.kind.write_text("mute")
    (good,) = running.supervisor._processes
    good.kill()
    await running.logged(r"Worker 1 \(process \d+\) has been silent for \S+ s: killing it")
    await running.logged("was ended by SIGKILL", times=2)


async def test_a_process_that_falls_silent_is_killed(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    running = await start("silent")
    await running.serve(1)
    (silent,) = running.supervisor._processes
    silent.look(20, 30)
    assert running.found("killing it") == []
    silent.look(11, 30)
    assert running.found(r"Worker 1 \(process \d+\) has been silent for 3\S+ s: killing it")
    await running.logged("was ended by SIGKILL; starting another")


async def test_a_process_that_does_not_drain_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_OVERTIME_S", 0.2)
    running = await start("deaf", workers=2)
    await running.serve(2)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running.ends() == 0
    assert len(running.found("has not ended in time: killing it")) == 2


async def test_a_line_that_makes_no_sense_ends_with_its_process(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heard no more, and so found silent."""
    monkeypatch.setattr(supervisor, "_LOOK_S", 0.05)
    running = await start("babbling")
    await running.logged("Listening on")
    running.kind.write_text("good")
    (bad,) = running.supervisor._processes
    bad.look(1_000, 30)
    await running.logged("was ended by SIGKILL")


@pytest.mark.parametrize("kind", ["unready", "broken"])
async def test_a_restart_ends_where_a_new_process_cannot_serve(
    kind: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis out of reach, or code that does not even load: the old ones stay, all of them."""
    monkeypatch.setattr(supervisor, "_READY_S", 1.0)
    running = await start("good", workers=2)
    await running.serve(2)
    before = set(running.supervisor._processes)
    running.kind.write_text(kind)
    os.kill(os.getpid(), signal.SIGHUP)
    await running.logged("The restart ends here: a new worker 1 could not serve")
    assert running.supervisor._processes == before
    running.kind.write_text("good")
    monkeypatch.setattr(supervisor, "_READY_S", 60.0)
    os.kill(os.getpid(), signal.SIGHUP)
    await running.logged("All workers are restarted")
    assert not running.supervisor._processes & before
    assert len(running.supervisor._processes) == 2
    assert running.found("starting another") == []


async def test_a_restart_ends_where_a_new_process_cannot_be_started(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start("good")
    await running.logged("Listening on")

    async def fail(*_: object) -> Process:
        raise OSError("Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(Process, "start", fail)
        os.kill(os.getpid(), signal.SIGHUP)
        await running.logged("The restart ends here")
    assert running.found("Worker 1 could not be started: Cannot allocate memory")
    assert len(running.supervisor._processes) == 1


async def test_a_restart_asked_for_during_a_restart_comes_after_it(start: Start) -> None:
    """The code may have become newer meanwhile."""
    running = await start("good", workers=2)
    await running.logged("Listening on")
    os.kill(os.getpid(), signal.SIGHUP)
    await running.logged("Restarting all workers")
    os.kill(os.getpid(), signal.SIGHUP)
    await running.logged("All workers are restarted", times=2)


async def test_a_supervisor_that_fails_itself_drains_all_and_ends_with_status_70(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start("good", workers=2)
    await running.serve(2)

    async def fail(*_: object) -> Process:
        raise ValueError("not foreseen")

    processes = list(running.supervisor._processes)
    monkeypatch.setattr(Process, "start", fail)
    os.kill(os.getpid(), signal.SIGHUP)
    assert await running.ends() == 70
    assert [each.ended.result() for each in processes] == [0, 0]
    assert running.found("A part of the supervisor has failed")
    assert running.found("ValueError: not foreseen")
