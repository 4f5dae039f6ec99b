"""Commands to one node: nobody waits for one that does not answer, and nobody is left without an answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from presence_server.store.cluster.node_link import NodeLink
from presence_server.store.link import Command, Link, OutOfReach
from tests.store.listening import link_to
from tests.store.support import becomes_true
from tests.support.ports import free_port
from tests.support.timing import SOON_S
from tests.support.valkey import Valkey

ASK = [("TIME",)]


class SlowLink:
    """A link of which the first pipeline times out when it is told to; that it does in one turn of the loop with what
    else happens in it, no server can be made to do."""

    def __init__(self) -> None:
        self.expire: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        if not self.expire.done():
            await self.expire
            raise OutOfReach("TimeoutError") from TimeoutError()
        return [b"ok" for _ in commands]

    async def close(self) -> None: ...


@pytest.fixture
async def node(shared_valkey: Valkey) -> AsyncIterator[NodeLink]:
    """The way to a server that is well."""
    node = NodeLink(link_to(shared_valkey.admin_url))
    yield node
    await node.close()


async def test_what_is_asked_in_the_moment_of_a_timeout_is_answered() -> None:
    link = SlowLink()
    node = NodeLink(cast(Link, link))
    first = asyncio.create_task(node.run(ASK))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(node.run(ASK))
    await asyncio.sleep(0)
    # The first fails before the second's pipeline has begun, which is cancelled with it.
    link.expire.set_result(None)
    async with asyncio.timeout(SOON_S):
        found = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(each) for each in found] == [OutOfReach, OutOfReach]
    await node.close()


async def test_connections_that_are_all_stale_keep_nobody_away_for_long(node: NodeLink, shared_valkey: Valkey) -> None:
    """Each of them fails once, and the server is well."""
    await asyncio.gather(*[node.link.exchange([("BLPOP", f"test-stale:{number}", 0.1)]) for number in range(8)])
    with contextlib.closing(shared_valkey.client()) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
    with pytest.raises(OutOfReach):
        await node.run(ASK)
    failures = node.link.failures
    await becomes_true(lambda: node.link.failures >= failures + 7 and not node.silent)
    assert len(await node.run(ASK)) == 1


async def test_a_node_that_nobody_wants_is_tried_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presence_server.store.cluster.node_link._WANTED_S", 0.3)
    node = NodeLink(link_to(f"redis://127.0.0.1:{free_port()}"))
    with pytest.raises(OutOfReach):
        await node.run(ASK)
    await becomes_true(lambda: not node.silent)
    failures = node.link.failures
    assert failures > 8
    with pytest.raises(OutOfReach, match="connecting"):
        await node.run(ASK)
    await node.close()
    assert node.silent
