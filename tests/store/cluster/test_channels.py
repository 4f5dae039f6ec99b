"""One connection to one node by which channels are heard: every break is told, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from presence_server.store.cluster import channels as module
from presence_server.store.cluster.channels import Channels
from presence_server.store.connect import open_pool
from presence_server.store.link import OutOfReach
from tests.store.support import becomes_true
from tests.support.ports import free_port
from tests.support.proxy import RedisProxy
from tests.support.valkey import Valkey


class Heard:
    """What a connection brings."""

    def __init__(self, url: str) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self.breaks: list[str] = []
        self.connection: Any = open_pool(url).make_connection()  # type: ignore[no-untyped-call]
        self.channels = Channels(
            self.connection,
            on_message=lambda channel, data: self.messages.append((channel, data)),
            on_gone=lambda channel: None,
            on_broken=self.breaks.append,
        )


@pytest.fixture
async def listen() -> AsyncIterator[Callable[[str], Heard]]:
    """Makes connections, which are not open yet."""
    made: list[Heard] = []

    def start(url: str) -> Heard:
        made.append(Heard(url))
        return made[-1]

    yield start
    for each in made:
        await each.channels.close()


async def test_where_nobody_listens_it_cannot_be_opened(listen: Callable[[str], Heard]) -> None:
    heard = listen(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(OutOfReach):
        await heard.channels.open()
    with pytest.raises(OutOfReach, match="broken"):
        await heard.channels.ask("SSUBSCRIBE", ["test-a:x"])
    assert heard.breaks == []


async def test_a_command_that_is_refused_is_one_channel_s_trouble(
    listen: Callable[[str], Heard], shared_valkey: Valkey
) -> None:
    heard = listen(shared_valkey.url)
    await heard.channels.open()
    assert [str(why)[:7] for why in await heard.channels.ask("NONSENSE", ["test-a:x", "test-b:x"])] == 2 * ["unknown"]
    assert await heard.channels.ask("SUBSCRIBE", ["test-c:x"]) == [None]


async def test_a_silent_node_is_given_up_once(
    listen: Callable[[str], Heard], new_valkey: Callable[..., Valkey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 1.0)
    valkey = new_valkey()
    heard = listen(valkey.url)
    await heard.channels.open()
    valkey.pause()
    try:
        with pytest.raises(OutOfReach, match="not answered"):
            await heard.channels.ask("SUBSCRIBE", ["test-a:x", "test-b:x"])
    finally:
        valkey.resume()
    heard.channels.end("once more")
    assert heard.breaks == ["a subscription was not answered"]


async def test_one_that_cannot_be_written_to_is_given_up(
    listen: Callable[[str], Heard], new_valkey: Callable[..., Valkey], new_proxy: Callable[[Valkey], RedisProxy]
) -> None:
    heard = listen(new_proxy(new_valkey()).url)
    await heard.channels.open()
    heard.connection._writer.transport.abort()
    heard.connection._writer.close()
    with pytest.raises(OutOfReach):
        await heard.channels.ask("SUBSCRIBE", ["test-a:x"])
    assert len(heard.breaks) == 1


async def test_one_that_ends_with_the_last_answer_has_subscribed_to_nothing(
    listen: Callable[[str], Heard], shared_valkey: Valkey
) -> None:
    heard = listen(shared_valkey.url)
    await heard.channels.open()
    asking = asyncio.create_task(heard.channels.ask("SUBSCRIBE", ["test-a:x"]))
    while not heard.channels._expected:  # noqa: ASYNC110 - the answer comes before anything else wakes up
        await asyncio.sleep(0)
    heard.channels._expected[0].answered.add_done_callback(lambda _: heard.channels.end("just then"))
    with pytest.raises(OutOfReach, match="just then"):
        await asking
    assert heard.breaks == ["just then"]


async def test_an_error_that_answers_nothing_is_a_break(listen: Callable[[str], Heard], shared_valkey: Valkey) -> None:
    heard = listen(shared_valkey.url)
    await heard.channels.open()
    await heard.connection.send_command("NONSENSE")
    await becomes_true(lambda: heard.breaks)


async def test_what_nobody_asked_for_is_passed_over(listen: Callable[[str], Heard], shared_valkey: Valkey) -> None:
    heard = listen(shared_valkey.url)
    await heard.channels.open()
    await heard.connection.send_command("SUBSCRIBE", "test-un:asked")
    assert await heard.channels.ask("SUBSCRIBE", ["test-a:sked"]) == [None]
    assert heard.messages == []
