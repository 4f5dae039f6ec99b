"""The subscription: what is published arrives, in order and from however many teams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from presence_server.store.link import OutOfReach
from tests.store.feed.listener import Listener, Publisher


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
