"""What servers tell the service manager that started them (sd_notify(3)), over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.manager import Manager
from tests.support.supervised import Supervised
from tests.system.conftest import Running


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Servers started meanwhile have it in their environment."""
    found = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", found.address)
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    yield found
    found.close()


async def test_a_server_alone_is_well_until_a_part_fails(manager: Manager, running: Running) -> None:
    """Then it is no more spoken for: it drains, and is started again."""
    _, server = await running(processes=1)
    await manager.hears("WATCHDOG=1", times=3)
    await manager.hears("STATUS=Serving")
    assert manager.told[0] == "READY=1"
    server.break_part(server.pid)
    assert await server.wait() == 70
    assert manager.read()[-2:] == ["STOPPING=1", "STATUS=Draining"]
    assert manager.count("READY=1") == 1


async def test_of_several_processes_the_one_that_watches_speaks(manager: Manager, running: Running) -> None:
    """A reload lasts until all are replaced; one process that fails is no fault of the service."""
    _, server = await running(processes=2)
    await manager.hears("WATCHDOG=1", times=3)
    await manager.hears("STATUS=Serving")
    assert manager.told[0] == "READY=1"
    server.hang_up()
    await manager.hears("READY=1", times=2)
    assert _restarts(server) == 1
    reloading = manager.told.index("RELOADING=1")
    assert manager.told[reloading + 1].startswith("MONOTONIC_USEC=")
    server.terminate()
    assert await server.wait() == 0
    assert manager.read()[-2:] == ["STOPPING=1", "STATUS=Draining"]


def _restarts(server: Supervised) -> int:
    return server.log().count("All workers are restarted")
