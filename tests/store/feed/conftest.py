"""Feeds of the test's own, on a Valkey of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing

import pytest

from presence_server.store import connect, feed
from presence_server.store.connect import open_client
from presence_server.store.keys import Keys
from tests.store.feed.listener import Listener, Publisher
from tests.support.proxy import RedisProxy
from tests.support.valkey import Valkey

NewValkey = Callable[..., Valkey]
NewProxy = Callable[[Valkey], RedisProxy]


@pytest.fixture
def keys(key_prefix: str) -> Keys:
    return Keys(key_prefix, 0)


@pytest.fixture
def own_valkey(new_valkey: NewValkey) -> Valkey:
    """A Valkey whose subscriptions are this test's."""
    return new_valkey()


@pytest.fixture
def publisher(own_valkey: Valkey, keys: Keys) -> Iterator[Publisher]:
    with closing(own_valkey.client()) as client:
        yield Publisher(client, keys)


@pytest.fixture
async def listen(own_valkey: Valkey, keys: Keys) -> AsyncIterator[Callable[..., Listener]]:
    """Makes feeds: ``listen("w2", url=…)``."""
    listeners: list[Listener] = []

    def start(name: str = "w1", *, url: str = own_valkey.url) -> Listener:
        listeners.append(Listener(open_client(url), keys, name))
        return listeners[-1]

    yield start
    for each in listeners:
        await each.feed.close()
        await each.client.aclose()


@pytest.fixture
async def listener(listen: Callable[..., Listener]) -> Listener:
    """A connected feed."""
    listener = listen()
    await listener.feed.connect()
    return listener


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not answer counts as out of reach sooner, but not because the machine is busy."""
    monkeypatch.setattr(connect, "TIMEOUT_S", 1.5)
    monkeypatch.setattr(feed, "TIMEOUT_S", 1.5)


@pytest.fixture
async def proxied(
    impatient: None, listen: Callable[..., Listener], own_valkey: Valkey, new_proxy: NewProxy
) -> tuple[Listener, RedisProxy]:
    """A connected, impatient feed, and the proxy through which it is."""
    proxy = new_proxy(own_valkey)
    listener = listen(url=proxy.url)
    await listener.feed.connect()
    return listener, proxy
