"""The subscription: what is published arrives in order, and a break is told once, however it comes about."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import redis
from redis.asyncio import Redis

from presence_server.store import connect, feed
from presence_server.store.connect import open_client
from presence_server.store.feed import Feed
from presence_server.store.keys import Keys
from presence_server.store.link import OutOfReach
from tests.support.polling import becomes
from tests.support.proxy import RedisProxy
from tests.support.timing import SOON_S
from tests.support.valkey import Valkey

NewValkey = Callable[..., Valkey]
NewProxy = Callable[[Valkey], RedisProxy]


@dataclass
class Listener:
    """A feed, with what it delivers."""

    client: Redis
    keys: Keys
    name: str = "w1"
    updates: asyncio.Queue[tuple[str, bytes]] = field(default_factory=asyncio.Queue)
    controls: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    downs: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        self.feed = Feed(
            self.client,
            self.name,
            self.keys,
            on_update=lambda team, message: self.updates.put_nowait((team, message)),
            on_control=self.controls.put_nowait,
            on_down=self.downs.put_nowait,
        )

    async def update(self) -> tuple[str, bytes]:
        """The next message of a team."""
        async with asyncio.timeout(SOON_S):
            return await self.updates.get()

    async def control(self) -> Any:
        """The next message to the workers."""
        async with asyncio.timeout(SOON_S):
            return await self.controls.get()

    async def down(self) -> str:
        """Why it went down: once, and not once more."""
        async with asyncio.timeout(SOON_S):
            why = await self.downs.get()
        assert self.downs.empty()
        return why


@dataclass
class Publisher:
    """Says something on channels."""

    client: redis.Redis
    keys: Keys

    def say(self, team: str, message: str) -> int:
        """Publish to a team; tells how many heard it."""
        return int(self.client.publish(self.keys.feed(team), message))

    def tell(self, message: Any) -> int:
        """Publish to the workers; tells how many heard it."""
        return int(self.client.publish(self.keys.control, orjson.dumps(message)))

    async def hears(self, team: str, number: int) -> None:
        """Wait until so many follow a team."""

        async def followers() -> object:
            return dict(self.client.pubsub_numsub(self.keys.feed(team)))[self.keys.feed(team)]

        await becomes(followers, number)

    def cut_off(self) -> None:
        """End every subscription."""
        self.client.client_kill_filter(_type="pubsub")


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


class TestMessages:
    async def test_what_is_published_after_the_confirmation_arrives(
        self, listener: Listener, publisher: Publisher
    ) -> None:
        await listener.feed.subscribe("acme")
        assert publisher.say("acme", "hello") == 1
        assert await listener.update() == ("acme", b"hello")

    async def test_teams_arrive_in_the_order_of_publication(self, listener: Listener, publisher: Publisher) -> None:
        teams = ["acme", "globex", "a:b@c+d.e-f"]
        await asyncio.gather(*(listener.feed.subscribe(team) for team in teams))
        said = [(teams[number % 3], str(number)) for number in range(300)]
        for team, message in said:
            publisher.say(team, message)
        assert [await listener.update() for _ in said] == [(team, message.encode()) for team, message in said]

    async def test_the_workers_hear_each_other(self, listen: Callable[..., Listener], publisher: Publisher) -> None:
        listeners = [listen("w1"), listen("w2")]
        for each in listeners:
            await each.feed.connect()
        assert publisher.tell({"signed_out": ["maria", "s1"]}) == 2
        assert [await each.control() for each in listeners] == [{"signed_out": ["maria", "s1"]}] * 2
        assert all(each.updates.empty() for each in listeners)

    async def test_who_has_unsubscribed_hears_no_more(self, listener: Listener, publisher: Publisher) -> None:
        await listener.feed.subscribe("acme")
        await listener.feed.subscribe("globex")
        await listener.feed.unsubscribe("acme")
        await publisher.hears("acme", 0)
        publisher.say("globex", "still here")
        assert await listener.update() == ("globex", b"still here")
        await listener.feed.connect()
        assert publisher.say("acme", "nobody hears it") == 0

    async def test_a_team_can_be_followed_again(self, listener: Listener, publisher: Publisher) -> None:
        for message in ("once", "again"):
            await listener.feed.subscribe("acme")
            publisher.say("acme", message)
            assert await listener.update() == ("acme", message.encode())
            await listener.feed.unsubscribe("acme")

    async def test_two_may_ask_for_the_same_team_at_once(self, listener: Listener, publisher: Publisher) -> None:
        await asyncio.gather(listener.feed.subscribe("acme"), listener.feed.subscribe("acme"))
        publisher.say("acme", "hello")
        assert await listener.update() == ("acme", b"hello")


class TestBreaks:
    async def test_a_break_is_told_once_and_mended_by_connecting(
        self, listener: Listener, publisher: Publisher
    ) -> None:
        await listener.feed.subscribe("acme")
        publisher.cut_off()
        assert await listener.down()
        await listener.feed.connect()
        assert publisher.say("acme", "back") == 1
        assert publisher.tell("back") == 1
        assert await listener.update() == ("acme", b"back")
        assert await listener.control() == "back"
        assert listener.downs.empty()

    async def test_while_it_is_broken_subscribing_fails_and_is_made_up_for(
        self, listener: Listener, publisher: Publisher
    ) -> None:
        publisher.cut_off()
        await listener.down()
        with pytest.raises(OutOfReach, match="the subscription is broken"):
            await listener.feed.subscribe("acme")
        assert listener.downs.empty()
        await listener.feed.connect()
        assert publisher.say("acme", "made up for") == 1
        assert await listener.update() == ("acme", b"made up for")

    async def test_before_the_first_connection_likewise(
        self, listen: Callable[..., Listener], publisher: Publisher
    ) -> None:
        listener = listen()
        with pytest.raises(OutOfReach, match="the subscription is broken"):
            await listener.feed.subscribe("acme")
        await listener.feed.connect()
        assert publisher.say("acme", "made up for") == 1

    async def test_a_team_given_up_while_it_is_broken_stays_given_up(
        self, listener: Listener, publisher: Publisher
    ) -> None:
        await listener.feed.subscribe("acme")
        publisher.cut_off()
        await listener.down()
        with pytest.raises(OutOfReach):
            await listener.feed.subscribe("globex")
        await listener.feed.unsubscribe("acme")
        await listener.feed.unsubscribe("globex")
        await listener.feed.connect()
        assert (publisher.say("acme", "?"), publisher.say("globex", "?")) == (0, 0)

    async def test_teams_asked_for_while_it_connects_are_included(
        self, listen: Callable[..., Listener], publisher: Publisher
    ) -> None:
        """At whatever moment: each is either refused and made up for, or confirmed."""
        listener = listen()
        connecting = asyncio.create_task(listener.feed.connect())
        teams: list[str] = []
        while not connecting.done():
            teams.append(f"team-{len(teams)}")
            asking = asyncio.create_task(listener.feed.subscribe(teams[-1]))
            asking.add_done_callback(lambda task: task.exception())
            await asyncio.sleep(0)
        await connecting
        for team in teams:
            await publisher.hears(team, 1)

        async def subscriptions() -> object:
            return publisher.client.info("clients")["pubsub_clients"]

        await becomes(subscriptions, 1)

    async def test_connecting_anew_leaves_no_subscription_behind(
        self, listener: Listener, publisher: Publisher
    ) -> None:
        await listener.feed.subscribe("acme")
        for _ in range(3):
            await listener.feed.connect()
        await publisher.hears("acme", 1)
        assert listener.downs.empty()

    async def test_where_nobody_is_connecting_fails(self, listener: Listener, own_valkey: Valkey) -> None:
        await listener.feed.subscribe("acme")
        own_valkey.kill()
        assert await listener.down()
        with pytest.raises(OutOfReach):
            await listener.feed.connect()
        await listener.feed.unsubscribe("acme")
        await listener.feed.probe()
        assert listener.downs.empty()

    async def test_a_database_that_does_not_exist_is_out_of_reach(
        self, listen: Callable[..., Listener], own_valkey: Valkey
    ) -> None:
        with pytest.raises(OutOfReach, match="DB index is out of range"):
            await listen(url=f"redis://127.0.0.1:{own_valkey.tcp_port}/99").feed.connect()

    async def test_a_server_that_stands_still_confirms_nothing(
        self, impatient: None, listen: Callable[..., Listener], own_valkey: Valkey
    ) -> None:
        listener = listen()
        own_valkey.pause()
        try:
            with pytest.raises(OutOfReach):
                await listener.feed.connect()
        finally:
            own_valkey.resume()
        await listener.feed.connect()

    async def test_one_that_may_not_subscribe_is_told_why(
        self, impatient: None, listen: Callable[..., Listener], own_valkey: Valkey, publisher: Publisher
    ) -> None:
        publisher.client.acl_setuser("maria", enabled=True, passwords=["+word"], commands=["+@all"], reset=True)
        listener = listen(url=own_valkey.url.replace("//", "//maria:word@"))
        with pytest.raises(OutOfReach):
            await listener.feed.connect()
        assert "No permissions to access a channel" in await listener.down()

    async def test_what_cannot_be_handled_is_logged_and_breaks_it(
        self, listener: Listener, publisher: Publisher, caplog: pytest.LogCaptureFixture
    ) -> None:
        publisher.client.publish(publisher.keys.control, "not JSON")
        assert await listener.down()
        [record] = caplog.records
        assert (record.levelno, record.name) == (logging.ERROR, feed.__name__)
        assert record.exc_info

    async def test_a_subscription_that_stays_unconfirmed_breaks_it(
        self, proxied: tuple[Listener, RedisProxy], publisher: Publisher
    ) -> None:
        listener, proxy = proxied
        proxy.pull_cable()
        asked = await asyncio.gather(*map(listener.feed.subscribe, ("acme", "globex")), return_exceptions=True)
        assert [type(failure) for failure in asked] == [OutOfReach, OutOfReach]
        assert await listener.down() == "a channel could not be subscribed to"
        proxy.mend()
        await listener.feed.connect()
        for team in ("acme", "globex"):
            publisher.say(team, "back")
            assert await listener.update() == (team, b"back")

    async def test_so_does_unsubscribing_where_it_gets_stuck(
        self, impatient: None, listen: Callable[..., Listener], own_valkey: Valkey, publisher: Publisher
    ) -> None:
        listener = listen()
        await listener.feed.connect()
        own_valkey.pause()
        try:
            # More than the buffers in between hold.
            await listener.feed.unsubscribe("x" * 2**25)
            assert await listener.down() == "a channel could not be unsubscribed from"
        finally:
            own_valkey.resume()

        async def clients() -> object:
            return publisher.client.info("clients")["connected_clients"]

        # What was stuck still flows: the connection ends when it has.
        await becomes(clients, 1)

    async def test_it_can_be_closed_in_any_state(self, listener: Listener, own_valkey: Valkey) -> None:
        await listener.feed.close()
        await listener.feed.close()
        await listener.feed.probe()
        await listener.feed.connect()
        own_valkey.kill()
        await listener.feed.close()
        await listener.feed.close()


class TestProbe:
    async def test_it_comes_back(self, listener: Listener) -> None:
        for _ in range(3):
            await listener.feed.probe()
        assert listener.downs.empty()
        assert listener.controls.empty()

    async def test_those_of_others_are_nobodys_business(self, listener: Listener, publisher: Publisher) -> None:
        for owner, number in (("w2", 1), ("w1", 77)):
            publisher.tell({"probe": [owner, number]})
        publisher.tell("after them")
        assert await listener.control() == "after them"

    async def test_one_that_has_died_in_silence_is_found(
        self, proxied: tuple[Listener, RedisProxy], publisher: Publisher
    ) -> None:
        """go-redis#3806, redis-py before 8.1: the subscription is gone, and nobody says so."""
        listener, proxy = proxied
        await listener.feed.subscribe("acme")
        proxy.deafen_subscriptions()
        publisher.say("acme", "nobody hears it")
        await listener.feed.probe()
        assert await listener.down() == "a probe of the subscription did not come back"
        assert listener.updates.empty()
        await listener.feed.connect()
        publisher.say("acme", "back")
        assert await listener.update() == ("acme", b"back")
        await listener.feed.probe()
        assert listener.downs.empty()

    async def test_one_that_belongs_to_an_earlier_subscription_says_nothing_of_the_new_one(
        self, proxied: tuple[Listener, RedisProxy]
    ) -> None:
        listener, proxy = proxied
        proxy.lose_publications()
        probing = asyncio.create_task(listener.feed.probe())
        await asyncio.sleep(0)
        await listener.feed.connect()
        await probing
        assert listener.downs.empty()

    async def test_a_server_out_of_reach_is_found(
        self, impatient: None, listen: Callable[..., Listener], own_valkey: Valkey
    ) -> None:
        listener = listen()
        await listener.feed.connect()
        own_valkey.pause()
        try:
            await listener.feed.probe()
            assert await listener.down() == "a probe of the subscription did not come back"
        finally:
            own_valkey.resume()


class TestManyTeams:
    async def test_all_are_confirmed_and_heard(self, listen: Callable[..., Listener], publisher: Publisher) -> None:
        teams = [f"team-{number}" for number in range(1_200)]
        listener = listen()
        for team in teams:
            with pytest.raises(OutOfReach):
                await listener.feed.subscribe(team)
        await listener.feed.connect()
        assert len(publisher.client.pubsub_channels()) == len(teams) + 1
        for team in teams:
            publisher.say(team, team)
        assert [await listener.update() for _ in teams] == [(team, team.encode()) for team in teams]
