"""A subscription that has died in silence is found by a word that does not come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.store.feed.listener import Listener, Publisher
from tests.support.proxy import RedisProxy
from tests.support.valkey import Valkey


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

    async def test_one_that_is_under_way_however_far_is_not_cut_off(self, listener: Listener) -> None:
        for turns in range(12):
            probing = asyncio.create_task(listener.feed.probe())
            for _ in range(turns):
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
