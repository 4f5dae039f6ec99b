"""A worker short of file descriptors: what it has goes on, and nobody can take the last ones by saying nothing."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tests.attack.attacker import line
from tests.conftest import NewSite
from tests.support.ports import free_port
from tests.support.site import Site
from tests.support.timing import SOON_S
from tests.support.worker import FAST, Worker, get_status


def limited(worker: Worker, descriptors: int) -> Worker:
    """The same worker, with a hard limit of open files."""
    worker.command = ["/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *worker.command]
    return worker


async def test_mute_connections_take_nothing_from_those_who_are_in(new_site: NewSite, tmp_path: Path) -> None:
    """A limit of 96, and 120 strangers who say nothing: changes arrive, Redis is never lost, probes are answered."""
    inside, lent = free_port(), await new_site()
    settings = FAST | {"redis_url": lent.workers[0].environment["PRESENCE_REDIS_URL"], "key_prefix": "test-few"}
    settings |= {"metrics_port": inside, "handshake_timeout": 3}
    worker = limited(Worker("few", tmp_path, settings), 96)
    site = Site([worker])
    try:
        await asyncio.to_thread(worker.start)
        maria, juan = await site.connect("maria"), await site.connect("juan")
        await maria.sees_all({"maria": "online", "juan": "online"})
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(120):
                await stack.enter_async_context(line(worker.port))
            for status in ("busy", "online", "busy"):
                await juan.choose(status)
                await maria.sees("juan", status, within_s=SOON_S)
                statuses = await asyncio.gather(*(asyncio.to_thread(get_status, inside, "/readyz") for _ in range(4)))
                assert statuses == [200] * 4
            assert get_status(inside, "/metrics") == 200
            # Nobody holds a descriptor for longer than a handshake may take.
            await site.connect("ana")
            await maria.sees_soon("ana", "online")
        assert maria.of_type("feed") == []
        maria.never_saw("juan", "offline")
        assert worker.log().count("file descriptor") == 1, "one line"
        assert "out of reach" not in worker.log()
    finally:
        await site.close()
        worker.close()
