"""The process around the application: sockets, signals, the drain, the limits."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from presence_server.web import server
from tests.support.ports import free_port
from tests.support.process import Process
from tests.support.worker import ROOT, environment, get_status

# A server of its own whose drain is told in the log, and takes as long as a test wants.
PROGRAM = """
import asyncio, sys
import uvicorn
from presence_server.web import logs, ports, server

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if KIND == "slow start":
            print("starting", flush=True)
            await asyncio.sleep(1)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("lifespan ended", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"here"})
    if scope["path"] == "/drained":
        drained.set()

async def drain(timeout_s):
    print("draining", timeout_s, flush=True)
    if KIND == "broken":
        raise ValueError("broken drain")
    if KIND == "endless":
        await asyncio.sleep(3600)
    if timeout_s:
        await drained.wait()

PORT, KIND = int(sys.argv[1]), sys.argv[2]
drained = asyncio.Event()
server._OVERTIME_S = 0.1
logs.configure("info", "text")
listeners = ports.listen("127.0.0.1", PORT)
config = uvicorn.Config(app, loop="uvloop", lifespan="on", log_config=None)
ready = lambda: print("listening", flush=True)
server.DrainingServer(config, drain=drain, drain_timeout_s=0.25, on_listening=ready).run(listeners)
print("done", flush=True)
"""


class Program(Process):
    def __init__(self, directory: Path, kind: str) -> None:
        self.port = free_port()
        super().__init__("program", [sys.executable, "-c", PROGRAM, str(self.port), kind], environment({}), directory)

    def await_line(self, line: str) -> None:
        self.await_sync(lambda: line in self.log().splitlines())


@contextlib.contextmanager
def running(directory: Path, kind: str = "plain") -> Iterator[Program]:
    program = Program(directory, kind)
    program.spawn()
    try:
        yield program
    finally:
        program.close()


def test_sigterm_drains_with_an_open_listener_and_ends_well(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        program.await_line("listening")
        program.terminate()
        program.await_line("draining 0.25")
        assert get_status(program.port, "/") == 200
        assert get_status(program.port, "/drained") == 200
        assert program.wait_sync() == 0
        assert program.log().endswith("lifespan ended\ndone\n")


def test_ctrl_c_drains_for_no_time_and_ends_well(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        program.await_line("listening")
        program.interrupt()
        assert program.wait_sync() == 0
        assert "draining 0.0" in program.log()
        assert program.log().endswith("lifespan ended\ndone\n")


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_second_signal_ends_at_once(tmp_path: Path, second: signal.Signals) -> None:
    with running(tmp_path) as program:
        program.await_line("listening")
        program.terminate()
        program.await_line("draining 0.25")
        os.kill(program.pid, second)
        assert program.wait_sync() == 128 + second
        assert "lifespan ended" not in program.log()


def test_a_drain_that_fails_is_logged_and_ends_well(tmp_path: Path) -> None:
    with running(tmp_path, "broken") as program:
        program.await_line("listening")
        program.terminate()
        assert program.wait_sync() == 0
        assert "ValueError: broken drain" in program.log()


def test_a_drain_that_never_ends_is_given_up(tmp_path: Path) -> None:
    with running(tmp_path, "endless") as program:
        program.await_line("listening")
        program.terminate()
        assert program.wait_sync() == 0
        assert "TimeoutError" in program.log()


def test_a_signal_while_starting_ends_well_without_a_drain(tmp_path: Path) -> None:
    with running(tmp_path, "slow start") as program:
        program.await_line("starting")
        program.terminate()
        assert program.wait_sync() == 0
        assert "draining" not in program.log()
        assert program.log().endswith("lifespan ended\ndone\n")


def test_a_request_sent_while_starting_is_answered(tmp_path: Path) -> None:
    with running(tmp_path, "slow start") as program:
        program.await_line("starting")
        connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"here"
        connection.close()


@pytest.mark.parametrize("refused", [(), (4096,)], ids=["as told", "an infinite limit that is none"])
def test_the_limit_of_open_files_is_raised(refused: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = []

    def setrlimit(kind: int, limits: tuple[int, int]) -> None:
        assert kind == resource.RLIMIT_NOFILE
        wanted.append(limits)
        if limits[0] in refused:
            raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    server.raise_file_limit()
    assert wanted == [(4096, 4096)] + [(10_240, 4096)] * len(refused)


def test_the_limit_of_open_files_is_raised_for_real() -> None:
    script = (
        "import resource as r; from presence_server.web import server; hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; "
        "r.setrlimit(r.RLIMIT_NOFILE, (64, hard)); server.raise_file_limit(); "
        "assert r.getrlimit(r.RLIMIT_NOFILE) == (hard, hard)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
