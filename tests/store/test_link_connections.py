"""Connections of a link: few, shared, given back, and made anew when they must be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing

import pytest
import redis
import uvloop

from presence_server.store.link import Link, OutOfReach
from tests.store.listening import blocked_clients, link_to
from tests.support.polling import becomes
from tests.support.valkey import Valkey


@pytest.fixture
def own_valkey(new_valkey: Callable[..., Valkey]) -> Valkey:
    """A Valkey that the test may maltreat."""
    return new_valkey(tcp=False)


@pytest.fixture
def admin(own_valkey: Valkey) -> Iterator[redis.Redis]:
    """Maltreats it."""
    with closing(own_valkey.client()) as client:
        yield client


@pytest.fixture
async def own(own_valkey: Valkey) -> AsyncIterator[Link]:
    """A link to the Valkey of this test."""
    link = link_to(own_valkey.admin_url)
    yield link
    await link.close()


async def test_many_pipelines_at_once_share_eight(own: Link, own_valkey: Valkey, admin: redis.Redis) -> None:
    admin.client_setname("admin")
    waiting = [asyncio.create_task(own.execute([("CLIENT", "ID"), ("BLPOP", "list", 0)])) for _ in range(40)]
    await becomes(lambda: asyncio.to_thread(blocked_clients, own_valkey), 8)
    assert sum(each["name"] != "admin" for each in admin.client_list()) == 8
    for number in range(40):
        admin.rpush("list", number)
    replies = await asyncio.gather(*waiting)
    assert len({client_id for client_id, _ in replies}) == 8
    assert sorted(int(value) for _, (_, value) in replies) == list(range(40))


async def test_who_gives_up_leaves_his_place_to_others(own: Link, own_valkey: Valkey) -> None:
    waiting = [asyncio.create_task(own.execute([("BLPOP", "nobody", 0)])) for _ in range(8)]
    await becomes(lambda: asyncio.to_thread(blocked_clients, own_valkey), 8)
    for task in waiting:
        task.cancel()
    assert await own.execute([("PING",)]) == [b"PONG"]
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_after_a_reset_new_ones_are_made(own: Link) -> None:
    [before] = await own.execute([("CLIENT", "ID")])
    assert await own.execute([("CLIENT", "ID")]) == [before]
    await own.reset()
    assert await own.execute([("CLIENT", "ID")]) != [before]


async def test_a_reset_leaves_alone_what_is_under_way(own: Link, own_valkey: Valkey, admin: redis.Redis) -> None:
    waiting = asyncio.create_task(own.execute([("BLPOP", "list", 0)]))
    await becomes(lambda: asyncio.to_thread(blocked_clients, own_valkey), 1)
    before = admin.client_list()
    await own.reset()
    admin.rpush("list", "value")
    assert await waiting == [[b"list", b"value"]]
    [after] = await own.execute([("CLIENT", "ID")])
    assert after not in {int(each["id"]) for each in before}, "but it is not used again"


async def test_one_that_is_gone_can_be_reset_and_closed(own: Link, own_valkey: Valkey) -> None:
    await own.execute([("PING",)])
    own_valkey.kill()
    await own.reset()
    await own.close()


async def test_closing_ends_them_however_often(own_valkey: Valkey, admin: redis.Redis) -> None:
    own = link_to(own_valkey.admin_url)
    await own.execute([("CLIENT", "SETNAME", "link")])
    await own.close()
    await own.close()

    async def names() -> object:
        return [each["name"] for each in admin.client_list() if each["name"] == "link"]

    await becomes(names, [])


async def test_one_more_that_cannot_be_had_is_no_outage(own_valkey: Valkey, admin: redis.Redis) -> None:
    """A limit of descriptors, or of Redis's clients: those there are go on, and are shared."""
    now_s = 100.0
    own = link_to(own_valkey.admin_url, lambda: now_s)
    await own.execute([("PING",)])
    admin.config_set("maxclients", len(admin.client_list()))
    first = asyncio.create_task(own.execute([("BLPOP", "list", 0)]))
    await becomes(lambda: asyncio.to_thread(_blocked_now, admin), 1)
    others = [asyncio.create_task(own.execute([("ECHO", str(number))])) for number in range(3)]
    await becomes(lambda: asyncio.to_thread(_rejects, admin), True)
    admin.rpush("list", "value")
    assert await first == [[b"list", b"value"]]
    assert await asyncio.gather(*others) == [[b"0"], [b"1"], [b"2"]]
    assert own.failures == 0
    # It is not tried again at once, but in a while.
    admin.config_set("maxclients", 100)
    now_s += 0.5
    waiting = [asyncio.create_task(own.execute([("BLPOP", f"l{number}", 0)])) for number in range(2)]
    await becomes(lambda: asyncio.to_thread(_blocked_now, admin), 1)
    now_s += 0.5
    third = asyncio.create_task(own.execute([("BLPOP", "l2", 0)]))
    await becomes(lambda: asyncio.to_thread(_blocked_now, admin), 2)
    for number in range(3):
        admin.rpush(f"l{number}", number)
    assert await asyncio.gather(*waiting, third) == [[[b"l%d" % number, b"%d" % number]] for number in range(3)]
    await own.close()


async def test_one_that_became_free_while_another_could_not_be_had_is_taken(
    own: Link, own_valkey: Valkey, admin: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = asyncio.create_task(own.execute([("BLPOP", "list", 0)]))
    await becomes(lambda: asyncio.to_thread(_blocked_now, admin), 1)

    async def none_to_be_had() -> object:
        admin.rpush("list", "value")
        await first
        raise ConnectionRefusedError

    monkeypatch.setattr(own, "_connect", none_to_be_had)
    assert await asyncio.wait_for(own.execute([("PING",)]), 5.0) == [b"PONG"]


async def test_where_not_even_one_can_be_had_it_is(own_valkey: Valkey, admin: redis.Redis) -> None:
    admin.config_set("maxclients", len(admin.client_list()))
    own = link_to(own_valkey.admin_url)
    with pytest.raises(OutOfReach):
        await own.execute([("PING",)])
    assert own.failures == 1
    await own.close()


def test_under_uvloop_a_connection_that_was_reset_is_out_of_reach(own_valkey: Valkey, admin: redis.Redis) -> None:
    """There it is a RuntimeError: "the handler is closed"."""

    async def run() -> None:
        own = link_to(own_valkey.admin_url)
        await own.execute([("PING",)])
        [connection] = own._free
        assert connection._writer is not None
        transport = connection._writer.transport
        transport.abort()
        while len(admin.client_list()) > 1:  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(0.01)
        with pytest.raises(OutOfReach, match="the handler is closed"):
            await own.execute([("PING",)])
        assert await own.execute([("PING",)]) == [b"PONG"]
        await own.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def _blocked_now(admin: redis.Redis) -> int:
    return int(admin.info("clients")["blocked_clients"])


def _rejects(admin: redis.Redis) -> bool:
    return int(admin.info("stats")["rejected_connections"]) > 0
