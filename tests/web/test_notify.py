"""What a service manager is told, over a real socket. By real servers: tests/system/test_service_manager.py."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from presence_server.web import notify
from presence_server.web.notify import ServiceManager
from tests.support.manager import Manager
from tests.web.peer import until


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """One with a file, and one without."""
    found = Manager(tmp_path / "notify" if request.param == "path" else f"@{tmp_path}/notify")
    yield found
    found.close()


@pytest.fixture
async def told(manager: Manager) -> AsyncIterator[ServiceManager]:
    found = ServiceManager.from_environment({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "30000"})
    yield found
    found.stopping()
    found.close()


async def test_up_once_it_can_serve_and_well_for_as_long_as_it_is(manager: Manager, told: ServiceManager) -> None:
    ready, well = asyncio.Event(), asyncio.Event()
    well.set()
    told.attend(ready.is_set, well.is_set)
    await asyncio.sleep(0)
    assert manager.read() == []
    ready.set()
    await manager.hears("WATCHDOG=1", times=3)
    assert manager.told[:2] == ["READY=1", "STATUS=Serving"]
    ready.clear()
    await manager.hears("STATUS=Redis is out of reach: statuses may be stale")
    well.clear()
    ready.set()
    # Of the same look, or of the one after it.
    await manager.hears("STATUS=Serving", times=2)
    beats = manager.count("WATCHDOG=1")
    ready.clear()
    await manager.hears("STATUS=Redis is out of reach: statuses may be stale", times=2)
    assert manager.count("WATCHDOG=1") == beats
    assert manager.count("READY=1") == 1


async def test_without_redis_it_counts_as_up_after_a_while(
    manager: Manager, told: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is to be started after it is not held up, nor is it ended for not being ready."""
    monkeypatch.setattr(notify, "_PATIENCE_S", 0.0)
    told.attend(lambda: False, lambda: True)
    await manager.hears("STATUS=Redis is out of reach: statuses may be stale")
    assert manager.told[0] == "READY=1"


async def test_reload_and_end(manager: Manager, told: ServiceManager) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told.reloading()
    told.reloaded()
    told.attend(lambda: True, lambda: True)
    told.stopping()
    await asyncio.sleep(0)
    assert manager.read() == ["RELOADING=1", manager.told[1], "READY=1", "STOPPING=1", "STATUS=Draining"]
    name, at = manager.told[1].split("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(at) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


async def test_one_that_does_not_read_holds_nothing_up_and_is_told_later(
    manager: Manager, told: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2_000):
        told.reloading()
    told.attend(lambda: True, lambda: True)
    manager.read()
    await manager.hears("READY=1")
    await manager.hears("STATUS=Serving")


async def test_one_that_stands_still_at_the_start_learns_of_it(
    manager: Manager, told: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog is told of once a look: many of these must not push out what comes once."""
    looks = 0

    def is_well() -> bool:
        nonlocal looks
        looks += 1
        return True

    monkeypatch.setattr(told, "_look_s", 0.001)
    for _ in range(2_000):
        told.reloading()
    told.attend(lambda: True, is_well)
    await until(lambda: looks > 100)
    await manager.hears("READY=1")
    await manager.hears("WATCHDOG=1")


async def test_one_that_comes_back_under_the_same_name_is_told_again(tmp_path: Path) -> None:
    manager = Manager(tmp_path / "notify")
    told = ServiceManager(manager.address)
    told.attend(lambda: True, lambda: True)
    await manager.hears("READY=1")
    manager.close()
    told.reloading()
    (tmp_path / "notify").unlink()
    manager = Manager(tmp_path / "notify")
    told.stopping()
    await manager.hears("STOPPING=1")
    told.close()
    manager.close()


async def test_nobody_is_told_where_there_is_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for found in (ServiceManager(), ServiceManager(str(tmp_path / "gone"))):
        found.attend(lambda: True, lambda: True)
        found.reloading()
        found.stopping()
        found.close()
    (complaint,) = caplog.messages
    assert complaint.startswith("NOTIFY_SOCKET: Expected a datagram socket, got ")


@pytest.mark.parametrize(
    ("given", "watched"),
    [
        ({"WATCHDOG_USEC": "30000"}, True),
        ({"WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "30000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "often"}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({}, False),
    ],
)
async def test_it_is_well_for_whom_it_was_asked(manager: Manager, given: dict[str, str], watched: bool) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "PATH": "/bin", **given}
    told = ServiceManager.from_environment(environ)
    # What it starts does not speak for it.
    assert environ == {"PATH": "/bin"}
    told.attend(lambda: True, lambda: True)
    await manager.hears("STATUS=Serving")
    assert ("WATCHDOG=1" in manager.read()) == watched
    told.stopping()
    told.close()
