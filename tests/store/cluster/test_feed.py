"""Subscriptions in a cluster: heard where the slot is, by one connection a node; a break is told to whom it hits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import orjson
import pytest

from presence_server.store.backend import Ears
from presence_server.store.cluster import probes
from presence_server.store.cluster.channels import Channels
from presence_server.store.cluster.control import Control
from presence_server.store.cluster.feed import ClusterFeed
from presence_server.store.cluster.nodes import Nodes
from presence_server.store.keys import Keys
from presence_server.store.link import OutOfReach, Unreached
from presence_server.store.slots import SLOTS, Partition, partitions, slot_of
from tests.store.cluster.conftest import node_of, nodes_of
from tests.store.support import becomes_true
from tests.support.cluster import Cluster
from tests.support.ports import free_port
from tests.support.timing import SOON_S
from tests.support.valkey import Valkey

# As many as there are masters, of which each has one's slots.
COUNT = 3


class Listener:
    """A partition's subscriptions, and what they bring."""

    def __init__(self, feed: ClusterFeed, keys: Keys) -> None:
        self.keys = keys
        self.heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.feed = feed.part(
            keys, Ears(self._tell_update, self._tell("lost"), self._tell("control"), self._tell("down"))
        )

    def _tell(self, kind: str) -> Any:
        return lambda what: self.heard.put_nowait((kind, what))

    def _tell_update(self, team: str, raw: bytes) -> None:
        self.heard.put_nowait((team, raw))

    async def next(self) -> tuple[str, Any]:
        """What is heard next."""
        async with asyncio.timeout(SOON_S):
            return await self.heard.get()


class Stage:
    """A worker's subscriptions on a cluster.

    Attributes:
        at: a listener for each server, whose index is there.
        teams: for each server, two teams that are there.
    """

    def __init__(self, cluster: Cluster, nodes: Nodes, prefix: str) -> None:
        self.cluster = cluster
        self.nodes = nodes
        every = [Keys(prefix, 0, each) for each in partitions(COUNT)]
        self.feed = ClusterFeed(nodes, every[0], "w1", time.monotonic)
        self.at = [Listener(self.feed, keys) for keys in every]
        self.teams = [cluster.tags_on(node, 2) for node in cluster.nodes]

    def say(self, server: Valkey, team: str, word: str) -> int:
        """Publish to a team; tells how many heard it."""
        with closing(server.client()) as client:
            return int(client.execute_command("SPUBLISH", self.at[0].keys.feed(team), word))  # type: ignore[no-untyped-call]

    def tell(self, server: Valkey, message: object) -> None:
        """Publish to the workers."""
        with closing(server.client()) as client:
            client.publish(self.at[0].keys.control, orjson.dumps(message))

    def say_whose_it_is(self, server: Valkey, team: str) -> None:
        """A server is told again that a team's slot is its own: it lets go of all who listen."""
        self.cluster.set_slot(server, slot_of(team), "NODE", self.cluster.id_of(server))

    async def hears(self, listener: Listener, server: Valkey, team: str) -> None:
        """What is published to a team is heard."""
        assert self.say(server, team, "hello") == 1
        assert await listener.next() == (team, b"hello")

    def cut_off(self, server: Valkey) -> None:
        """End every subscription at a server."""
        with closing(server.client()) as client:
            client.client_kill_filter(_type="pubsub")


@pytest.fixture
async def stage(shared_cluster: Cluster, cluster_nodes: Nodes, key_prefix: str) -> AsyncIterator[Stage]:
    """All partitions are subscribed, and follow nothing yet."""
    stage = Stage(shared_cluster, cluster_nodes, key_prefix)
    for listener in stage.at:
        await listener.feed.connect()
    yield stage
    for listener in stage.at:
        await listener.feed.close()
    await stage.feed.close()


async def test_what_is_published_is_heard(stage: Stage) -> None:
    for listener, server, (team, other) in zip(stage.at, stage.cluster.nodes, stage.teams, strict=True):
        await listener.feed.subscribe(team)
        await stage.hears(listener, server, team)
        assert stage.say(server, other, "nobody") == 0
        await listener.feed.unsubscribe(team)
        assert stage.say(server, team, "nobody") == 0


async def test_there_is_one_connection_by_node(stage: Stage) -> None:
    for listener, teams in zip(stage.at, stage.teams, strict=True):
        for team in teams:
            await listener.feed.subscribe(team)
        await listener.feed.connect()
    for client in stage.cluster.clients():
        assert len(client.client_list(_type="pubsub")) == 1


async def test_what_is_said_to_all_is_heard_once_wherever_it_is_said(stage: Stage) -> None:
    for server in stage.cluster.nodes:
        stage.tell(server, {"inputs": "acme"})
    for _ in stage.cluster.nodes:
        assert await stage.at[0].next() == ("control", {"inputs": "acme"})
    assert all(listener.heard.empty() for listener in stage.at)


async def test_a_break_takes_along_whose_index_is_there_and_of_others_single_teams(stage: Stage) -> None:
    here, there, _ = stage.at
    (team, other), _, _ = stage.teams
    await here.feed.subscribe(team)
    # As after its slot has moved away from its index.
    await there.feed.subscribe(other)
    stage.cut_off(stage.cluster.nodes[0])
    assert (await here.next())[0] == "down"
    assert await there.next() == ("lost", other)
    await here.feed.connect()
    await there.feed.subscribe(other)
    for listener, name in ((here, team), (there, other)):
        assert stage.say(stage.cluster.nodes[0], name, "back") == 1
        assert await listener.next() == (name, b"back")


async def test_the_workers_channel_is_found_elsewhere(stage: Stage) -> None:
    control = stage.at[0].keys.control
    stage.cut_off(next(server for server in stage.cluster.nodes if _is_heard_at(server, control)))

    async def heard() -> None:
        while True:
            stage.tell(stage.cluster.nodes[1], {"again": 1})
            try:
                async with asyncio.timeout(0.1):
                    assert await stage.at[0].heard.get() == ("control", {"again": 1})
                    return
            except TimeoutError:
                continue

    async with asyncio.timeout(SOON_S):
        await heard()


async def test_while_nobody_is_within_reach_it_is_sought_again(stage: Stage) -> None:
    control = stage.at[0].keys.control
    dead = node_of(stage.cluster.nodes[0])._replace(port=free_port())
    stage.nodes.topology.take([[0, SLOTS - 1, [b"", dead.port]]], dead)
    stage.cut_off(next(server for server in stage.cluster.nodes if _is_heard_at(server, control)))
    await becomes_true(lambda: any(_is_heard_at(server, control) for server in stage.cluster.nodes))
    stage.tell(stage.cluster.nodes[1], {"again": 1})
    assert await stage.at[0].next() == ("control", {"again": 1})


def _is_heard_at(server: Valkey, channel: str) -> bool:
    with closing(server.client()) as client:
        return any(count for _, count in client.pubsub_numsub(channel))


async def test_a_wrong_idea_is_put_right(stage: Stage) -> None:
    (team, _), _, _ = stage.teams
    stage.nodes.topology.moved(slot_of(stage.at[0].keys.team(team)), node_of(stage.cluster.nodes[1]))
    await stage.at[0].feed.subscribe(team)
    assert stage.say(stage.cluster.nodes[0], team, "hello") == 1


async def test_nodes_that_send_it_to_and_fro_are_asked_a_few_times(stage: Stage) -> None:
    """The one that had the slot has heard that it moved, and the one that is to have it has not."""
    listener, (team, _) = stage.at[0], stage.teams[0]
    old, new, _ = stage.cluster.nodes
    slot = slot_of(team)
    stage.cluster.set_slot(old, slot, "NODE", stage.cluster.id_of(new))
    try:
        with pytest.raises(Unreached):
            await listener.feed.subscribe(team)
    finally:
        stage.cluster.set_slot(old, slot, "NODE", stage.cluster.id_of(old))
        stage.cluster.await_whole()


async def test_a_slot_that_nobody_has_is_its_teams_trouble(stage: Stage) -> None:
    listener, (team, _) = stage.at[0], stage.teams[0]
    with stage.cluster.dropped(stage.cluster.nodes[0], slot_of(team)), pytest.raises(Unreached, match="not served"):
        await listener.feed.subscribe(team)
    await listener.feed.subscribe(team)


async def test_a_slot_that_moves_is_told_and_followed(stage: Stage) -> None:
    (team, other), _, _ = stage.teams
    listener, (old, new, _) = stage.at[0], stage.cluster.nodes
    await listener.feed.subscribe(team)
    await listener.feed.subscribe(other)
    slot = slot_of(listener.keys.team(team))
    await asyncio.to_thread(stage.cluster.move, slot, new)
    try:
        assert await listener.next() == ("lost", team)
        await listener.feed.subscribe(team)
        assert stage.say(new, team, "moved") == 1
        assert await listener.next() == (team, b"moved")
        # A break there is one team's trouble.
        stage.cut_off(new)
        assert await listener.next() == ("lost", team)
        assert stage.say(old, other, "still here") == 1
        assert await listener.next() == (other, b"still here")
    finally:
        await asyncio.to_thread(stage.cluster.move, slot, old)


async def test_one_that_is_heard_at_a_node_without_its_slot_is_sought_anew(stage: Stage) -> None:
    """A master that has become a replica goes on telling what its master publishes."""
    (team, _), _, _ = stage.teams
    listener = stage.at[0]
    await listener.feed.subscribe(team)
    stage.nodes.topology.moved(slot_of(listener.keys.team(team)), node_of(stage.cluster.nodes[1]))
    await listener.feed.probe()
    assert await listener.next() == ("lost", team)
    await stage.nodes.refresh()
    await listener.feed.subscribe(team)
    assert stage.say(stage.cluster.nodes[0], team, "hello") == 1


async def test_a_node_that_stands_still(stage: Stage, impatient: None) -> None:
    here, there, _ = stage.at
    (team, other), (near, _), _ = stage.teams
    await here.feed.subscribe(team)
    with stage.cluster.frozen(stage.cluster.nodes[0]):
        with pytest.raises(Unreached):
            await there.feed.subscribe(other)
        assert (await here.next())[0] == "down"
        await becomes_true(lambda: stage.feed.control._at is not None)
        with pytest.raises(OutOfReach):
            await here.feed.connect()
        with pytest.raises(OutOfReach):
            await here.feed.subscribe(team)
        await there.feed.subscribe(near)
        await there.feed.connect()
        assert await there.next() == ("lost", other)
        await here.feed.unsubscribe(team)
    await here.feed.connect()


async def test_a_probe_comes_back_or_the_connection_is_given_up(
    stage: Stage, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "_FRESH_S", 0.0)
    listener, (team, _) = stage.at[0], stage.teams[0]
    await listener.feed.probe()
    await listener.feed.subscribe(team)
    await listener.feed.probe()
    await listener.feed.probe()
    assert listener.heard.empty()
    # What is published is not what is subscribed to any more, and no error says so.
    listened = next(iter(stage.feed._probes._channels.values()))
    channels = stage.feed._open[node_of(stage.cluster.nodes[0])]
    await channels.ask("SUNSUBSCRIBE", [listened])
    await listener.feed.probe()
    assert await listener.next() == ("down", "a probe of the subscription did not come back")


async def test_a_node_may_break_while_another_is_probed(stage: Stage, impatient: None) -> None:
    """The one that is frozen keeps its probe waiting; meanwhile the others are gone."""
    every = [node_of(server) for server in stage.cluster.nodes]
    for listener, (team, _) in zip(stage.at, stage.teams, strict=True):
        await listener.feed.subscribe(team)
    with stage.cluster.frozen(stage.cluster.nodes[0]):
        probing = asyncio.create_task(stage.feed.probe(every))
        await asyncio.sleep(0)
        for server in stage.cluster.nodes[1:]:
            stage.cut_off(server)
        await probing
    downs = {await listener.next() for listener in stage.at}
    assert {kind for kind, _ in downs} == {"down"}


async def test_a_node_where_nothing_is_said_any_more_is_left(stage: Stage, impatient: None) -> None:
    """It was taken out of the cluster, and keeps the subscription: the workers' channel is heard elsewhere."""
    outside = Valkey(tcp=True, cluster=True)
    with closing(outside):
        outside.start()
        feed = ClusterFeed(stage.nodes, stage.at[0].keys, "w2", time.monotonic)
        listener = Listener(feed, stage.at[0].keys)
        await feed.control.hear(node_of(outside))
        await feed.probe([])
        await becomes_true(lambda: feed.control._at not in (None, node_of(outside)))
        stage.tell(stage.cluster.nodes[0], {"again": 1})
        assert await listener.next() == ("control", {"again": 1})
        await feed.close()


async def test_where_the_workers_channel_may_not_be_heard_it_is_said_so(stage: Stage) -> None:
    """And what may not be published tells nothing of who listens."""
    node = node_of(stage.cluster.nodes[0])
    here = stage.feed._connection
    control = Control(stage.nodes, "foreign", "w2", time.monotonic, connection=here, on_message=pytest.fail)
    with pytest.raises(OutOfReach, match="the workers' channel"):
        await control.hear(node)
    control._at = node
    await control.probe()
    assert control._at == node


async def test_partitions_of_a_node_share_its_probes(stage: Stage) -> None:
    listener, (team, _) = stage.at[0], stage.teams[0]
    await listener.feed.subscribe(team)
    server = stage.cluster.nodes[0]
    await listener.feed.probe()
    before = stage.cluster.calls(server)["spublish"]
    await listener.feed.probe()
    assert stage.cluster.calls(server)["spublish"] == before


async def test_a_probe_whose_slot_has_moved_is_no_verdict(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_FRESH_S", 0.0)
    listener, (team, _) = stage.at[0], stage.teams[0]
    old, new, _ = stage.cluster.nodes
    await listener.feed.subscribe(team)
    await listener.feed.probe()
    channel = stage.feed._probes._channels[node_of(old)]
    slot = slot_of(channel)
    await asyncio.to_thread(stage.cluster.move, slot, new)
    try:
        # The old topology once more: the node itself says that the slot is gone.
        stage.feed._probes._channels[node_of(old)] = channel
        await listener.feed.probe()
        stage.nodes.topology.moved(slot, node_of(old))
        await listener.feed.probe()
        await stage.nodes.refresh()
        await listener.feed.probe()
        assert stage.feed._probes._channels[node_of(old)] != channel
        assert listener.heard.empty()
    finally:
        await asyncio.to_thread(stage.cluster.move, slot, old)


async def test_where_no_channel_can_be_had_nothing_is_probed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_FRESH_S", 0.0)
    first, second, _ = (node_of(server) for server in stage.cluster.nodes)
    await stage.at[0].feed.subscribe(stage.teams[0][0])
    await stage.at[1].feed.subscribe(stage.teams[1][0])
    for owner in (first, second):
        # As one who is behind has it: all slots are there.
        stage.nodes.topology.take([[0, SLOTS - 1, [owner.host.encode(), owner.port]]], owner)
        await stage.feed.probe([first, second])
    assert all(listener.heard.empty() for listener in stage.at)


async def test_a_word_that_comes_late_is_no_message(stage: Stage) -> None:
    listener, (team, _) = stage.at[0], stage.teams[0]
    await listener.feed.subscribe(team)
    await listener.feed.probe()
    (channel,) = stage.feed._probes._channels.values()
    with closing(stage.cluster.nodes[0].client()) as client:
        assert client.execute_command("SPUBLISH", channel, "99") == 1  # type: ignore[no-untyped-call]
    assert stage.say(stage.cluster.nodes[0], team, "next") == 1
    assert await listener.next() == (team, b"next")


async def test_before_anything_is_known_nobody_has_a_slot(shared_cluster: Cluster, key_prefix: str) -> None:
    nodes = nodes_of(shared_cluster.url)
    feed = ClusterFeed(nodes, Keys(key_prefix, 0), "w1", time.monotonic)
    listener = Listener(feed, Keys(key_prefix, 0, Partition(0, COUNT)))
    with pytest.raises(OutOfReach, match="nobody has its slot"):
        await listener.feed.subscribe("acme")
    await nodes.refresh()
    await listener.feed.connect()
    await feed.close()
    await nodes.close()


async def test_a_channel_that_is_given_up_as_soon_as_it_is_confirmed_is_followed_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever moves a slot may say twice whose it is: the node then lets go of all who listen, and stays its owner."""
    server, listener, (team, _) = stage.cluster.nodes[0], stage.at[0], stage.teams[0]
    send, times = Channels._send, 0

    async def send_and_say_again(channels: Channels, *asked: Any) -> Any:
        nonlocal times
        answers = await send(channels, *asked)
        times += 1
        if times == 1:
            # Without a turn of the loop: both answers are read before whoever asked goes on.
            stage.say_whose_it_is(server, team)
            assert server.says("PING"), "what it had to tell others is on its way"
        return answers

    monkeypatch.setattr(Channels, "_send", send_and_say_again)
    await listener.feed.subscribe(team)
    assert times == 2
    await stage.hears(listener, server, team)


async def test_a_channel_that_is_given_up_before_anybody_was_told_is_followed_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, listener, (team, _) = stage.cluster.nodes[0], stage.at[0], stage.teams[0]
    channel, follow_at, times = listener.keys.feed(team), ClusterFeed._follow_at, 0

    async def follow_and_say_again(feed: ClusterFeed, *asked: Any) -> Any:
        nonlocal times
        results = await follow_at(feed, *asked)
        times += 1
        if times == 1:
            assert feed.at(channel) is not None
            stage.say_whose_it_is(server, team)
            await becomes_true(lambda: feed.at(channel) is None)
        return results

    monkeypatch.setattr(ClusterFeed, "_follow_at", follow_and_say_again)
    await listener.feed.subscribe(team)
    assert times == 2
    # It was told that the channel is lost, of which whoever is subscribing takes no note.
    assert await listener.next() == ("lost", team)
    await stage.hears(listener, server, team)


async def test_one_that_is_followed_while_a_probe_lets_go_of_its_former_place_is_heard(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe looks where channels are heard, and waits for others before it lets go of this one."""
    server, listener, (team, _) = stage.cluster.nodes[0], stage.at[0], stage.teams[0]
    channel, former = listener.keys.feed(team), node_of(stage.cluster.nodes[1])
    await listener.feed.subscribe(team)
    at = stage.feed.at
    with monkeypatch.context() as before:
        # What the probe saw when it began.
        places = iter([former])
        before.setattr(stage.feed, "at", lambda wanted: next(places, at(wanted)))
        await listener.feed.probe()
    assert stage.feed.at(channel) == node_of(server)
    await stage.hears(listener, server, team)


async def test_one_that_was_left_while_it_was_being_followed_is_heard_no_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, listener, (team, _) = stage.cluster.nodes[0], stage.at[0], stage.teams[0]
    follow_at = ClusterFeed._follow_at

    async def follow_and_leave(feed: ClusterFeed, *asked: Any) -> Any:
        await listener.feed.unsubscribe(team)
        return await follow_at(feed, *asked)

    monkeypatch.setattr(ClusterFeed, "_follow_at", follow_and_leave)
    await listener.feed.subscribe(team)
    assert stage.feed.at(listener.keys.feed(team)) is None
    assert stage.say(server, team, "nobody") == 0
