"""A break of the subscription is told once, however it comes about, and mended by connecting anew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from presence_server.store import feed
from presence_server.store.link import OutOfReach
from tests.store.feed.listener import Listener, Publisher
from tests.support.polling import becomes
from tests.support.proxy import RedisProxy
from tests.support.valkey import Valkey


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
        listener = listen(url=own_valkey.url_of("maria:word@"))
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
