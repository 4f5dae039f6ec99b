"""Section 3 of the contract: without PRESENCE_REDIS_URL there is a private Valkey in PRESENCE_DATA_DIR."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.worker import FAST, Worker


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A running worker with a Valkey of its own."""
    worker = Worker("embedded", tmp_path, FAST | {"data_dir": tmp_path / "data"})
    worker.start()
    yield worker
    worker.close()


@pytest.fixture
def site(worker: Worker) -> Site:
    """Only for its connections: each test closes it."""
    return Site([worker])


def _valkeys_in(directory: Path) -> list[str]:
    """The command lines of running Valkey servers that have anything to do with `directory`."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = str((process / "cwd").readlink())
        except OSError:
            continue
        if "valkey" in command and (str(directory) in command or folder.startswith(str(directory))):
            found.append(command)
    return found


async def test_it_works_without_any_redis(site: Site) -> None:
    """Two people see each other; nothing had to be installed or configured but the secret."""
    maria, juan = await site.connect("maria"), await site.connect("juan")
    await juan.choose("busy")
    await maria.sees_soon("juan", "busy")
    await site.close()


async def test_chosen_statuses_survive_a_restart(site: Site, worker: Worker) -> None:
    """The embedded default keeps its data over SIGTERM and start."""
    juan = await site.connect("juan")
    await juan.choose("busy")
    await site.stop_workers()
    await site.start_workers()
    again = await site.connect("juan")
    assert again.view().chosen == "busy"
    await site.close()


async def test_a_second_server_on_the_same_data_refuses_to_start(site: Site, worker: Worker, tmp_path: Path) -> None:
    """The data folder is locked: the second server says so, names PRESENCE_REDIS_URL, and the first goes on."""
    maria = await site.connect("maria")
    second = Worker("second", tmp_path, FAST | {"data_dir": tmp_path / "data"})
    second.spawn()
    try:
        assert await second.wait() > 0
    finally:
        second.close()
    assert "PRESENCE_REDIS_URL" in second.log()
    assert "Traceback" not in second.log()
    await maria.choose("busy")
    await site.close()


async def test_no_valkey_is_left_behind(site: Site, worker: Worker, tmp_path: Path) -> None:
    """After SIGTERM and after kill -9 alike, the embedded Valkey is gone, and the next start works with its data."""

    async def left() -> list[str]:
        return _valkeys_in(tmp_path)

    assert len(await left()) >= 1, "Expected to find the running one"
    juan = await site.connect("juan")
    await juan.choose("busy")
    worker.kill()
    await becomes(left, [])
    await asyncio.to_thread(worker.start)
    again = await site.connect("juan")
    assert again.view().chosen in ("busy", "online")
    await site.close()
    worker.terminate()
    assert await worker.wait() == 0
    await becomes(left, [])
