"""A process under a supervisor that a test plays. With a real one: tests/system/test_workers.py."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from presence_server.errors import Unavailable
from presence_server.settings import Settings
from presence_server.web import totals
from presence_server.web.app import create_app
from presence_server.web.line import Line
from presence_server.web.member import Member
from presence_server.web.share import Share, Table
from tests.support.tokens import SECRET
from tests.support.worker import environment


class Supervisor:
    """The other end of a member's line, with a test behind it."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._messages = line.messages()

    async def hears(self, name: str) -> Any:
        """Wait for a message of this name; returns what it says."""
        async with asyncio.timeout(10):
            async for message in self._messages:
                if name in message:
                    return message[name]
        raise AssertionError(f"Expected {name!r}, got the end of the line")


@pytest.fixture
async def member() -> AsyncIterator[tuple[Member, Supervisor]]:
    """A member that runs in this process, without a Redis, and never listens: others do."""
    table, (here, there) = Table(2), socket.socketpair()
    Share(table.descriptor, table.take()).in_turn(0)
    settings = Settings(jwt_secret=SECRET, redis_url="unix:///nowhere/at-all", drain_timeout_s=0)
    member = Member(create_app(settings), settings, there, Share(table.descriptor, table.take()))
    serving = asyncio.create_task(member.serve([]))
    line = await Line.open(here)
    yield member, Supervisor(line)
    await line.close()
    async with asyncio.timeout(10):
        await serving
    table.close()


async def test_without_redis_it_leaves_the_port_to_others_and_says_so(member: tuple[Member, Supervisor]) -> None:
    _, supervisor = member
    assert await supervisor.hears("listening") is False
    assert await supervisor.hears("ready") is False


async def test_one_that_fails_before_it_could_serve_ends_all_the_same(member: tuple[Member, Supervisor]) -> None:
    found, supervisor = member
    await supervisor.hears("listening")
    found.config.app.state.worker.failed.set()  # type: ignore[union-attr]
    # Its last word.
    await supervisor.hears("report")
    assert found.status == 70
    assert found.servers == []


async def test_it_reports_what_it_has_counted(member: tuple[Member, Supervisor]) -> None:
    _, supervisor = member
    supervisor.line.send({"report": True})
    report = await supervisor.hears("report")
    assert {name for name, *_ in report} > {"presence_connections", "process_cpu_seconds", totals.RESTARTS}
    assert totals.add([report]) == [(name, kind, text, samples) for name, kind, text, samples in report]


async def test_it_hands_out_the_sum_that_it_asked_for(member: tuple[Member, Supervisor]) -> None:
    found, supervisor = member
    asking = [asyncio.create_task(found.add_up()) for _ in range(2)]
    first, second = await supervisor.hears("sum"), await supervisor.hears("sum")
    for number, value in ((second, 2), (first, 1), (first, 3), (99, 4)):
        families = [["presence_messages", "counter", "Messages.", [["presence_messages_total", {}, value]]]]
        supervisor.line.send({"sum": number, "families": families})
    sums = [family.samples[0].value for (family,) in await asyncio.gather(*asking)]
    assert sums == [1, 2]


async def test_scrapes_that_nobody_answers_do_not_pile_up(
    member: tuple[Member, Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("presence_server.web.member._SUM_S", 0.2)
    found, supervisor = member
    await supervisor.hears("listening")
    results = await asyncio.gather(*(found.add_up() for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    told = [str(result) for result in results]
    assert [text.startswith("Expected fewer scrapes") for text in told] == [False] * 16 + [True] * 4
    assert told[0] == "Expected the supervisor to answer within 0.2 s, got nothing"


def test_settings_that_became_wrong_are_told() -> None:
    """The environment is the supervisor's, yet the code may be newer."""
    command = [sys.executable, "-m", "presence_server.web.member"]
    options = [f"--{name}=0" for name in ("number", "line", "table", "place", "listeners")]
    given = environment({"jwt_secret": SECRET, "port": "http"})
    done = subprocess.run([*command, *options], env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("PRESENCE_PORT: Expected a port")
