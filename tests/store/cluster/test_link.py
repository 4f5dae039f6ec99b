"""Commands in a cluster: each goes to the node that has its slot, and a slot that moves is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from presence_server.store.cluster import link
from presence_server.store.cluster.link import ClusterLink
from presence_server.store.cluster.nodes import Nodes
from presence_server.store.link import Link, Moving, OutOfReach, Refused, Unreached, evaluate
from presence_server.store.scripts import Script
from presence_server.store.slots import slot_of
from tests.store.cluster.conftest import node_of, nodes_of
from tests.support.cluster import Cluster
from tests.support.timing import SOON_S

ONE = Script("one", "return 1")


class Place:
    """An index and teams on known servers.

    Attributes:
        index, near, far: keys: of the index, of a team on the same server, of one on another.
    """

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self.home, self.away, self.third = cluster.nodes
        tags = {id(node): cluster.tags_on(node, 2) for node in cluster.nodes}
        self.index, self.near = (f"{prefix}:{{{tag}}}" for tag in tags[id(self.home)])
        self.far, self.farther = (f"{prefix}:{{{tag}}}" for tag in tags[id(self.away)])


@pytest.fixture
def place(shared_cluster: Cluster, key_prefix: str) -> Place:
    return Place(shared_cluster, key_prefix)


@pytest.fixture
def to_index(cluster_nodes: Nodes, place: Place) -> ClusterLink:
    return ClusterLink(cluster_nodes, slot_of(place.index), time.monotonic)


async def test_each_goes_to_whoever_has_its_slot(
    shared_cluster: Cluster, cluster_nodes: Nodes, to_index: ClusterLink, key_prefix: str
) -> None:
    calls = cluster_nodes.calls
    keys = [f"{key_prefix}:{{team-{number}}}" for number in range(30)]
    assert await to_index.execute([("SET", key, at) for at, key in enumerate(keys)]) == 30 * [b"OK"]
    assert await to_index.get_each(keys) == [b"%d" % at for at in range(30)]
    assert cluster_nodes.calls == calls + 60
    assert cluster_nodes.failures == 0
    assert sorted(shared_cluster.scan(f"{key_prefix}:*")) == sorted(keys)


async def test_what_has_no_key_goes_to_the_index_s_node(to_index: ClusterLink, place: Place) -> None:
    information, heard = await to_index.execute([("INFO", "server"), ("PUBLISH", "test-no:body", "hears")])
    assert b"tcp_port:%d" % place.home.tcp_port in information
    assert heard == 0


async def test_as_long_as_nothing_is_known_all_is_out_of_reach(shared_cluster: Cluster, place: Place) -> None:
    nodes = nodes_of(shared_cluster.url)
    to_index = ClusterLink(nodes, slot_of(place.index), time.monotonic)
    with pytest.raises(OutOfReach, match="nobody is known"):
        await to_index.execute([("GET", place.index)])
    await to_index.reset()
    assert await to_index.execute([("GET", place.index)]) == [None]
    await to_index.close()
    await nodes.close()


async def test_a_wrong_idea_is_put_right(cluster_nodes: Nodes, to_index: ClusterLink, place: Place) -> None:
    cluster_nodes.topology.moved(slot_of(place.far), node_of(place.home))
    assert await to_index.execute([("SET", place.far, 1), ("GET", place.far)]) == [b"OK", b"1"]
    assert cluster_nodes.topology.owner(slot_of(place.far)) == node_of(place.away)


async def test_scripts_are_loaded_on_every_node(
    shared_cluster: Cluster, cluster_nodes: Nodes, to_index: ClusterLink, place: Place
) -> None:
    for client in shared_cluster.clients():
        client.script_flush()
    script = cluster_nodes.scripts["swept"]
    assert await to_index.execute([evaluate(script, place.index, 0), evaluate(script, place.far, 0)]) == 2 * [b"ok"]
    with pytest.raises(Refused, match="No matching script"):
        await to_index.execute([evaluate(ONE, place.index)])


async def test_what_is_refused_is_one_command_s_trouble(to_index: ClusterLink, place: Place) -> None:
    await to_index.execute([("HSET", place.far, "no", "string"), ("SET", place.near, "a string")])
    refused, found = await to_index.get_each([place.far, place.near])
    assert isinstance(refused, Refused)
    assert not isinstance(refused, Unreached)
    assert found == b"a string"


async def test_a_node_that_is_lost_is_its_own_teams_trouble(
    shared_cluster: Cluster, cluster_nodes: Nodes, to_index: ClusterLink, place: Place, impatient: None
) -> None:
    with shared_cluster.frozen(place.away):
        done, lost = await to_index.execute_each([("SET", place.index, 1), ("SET", place.far, 1)])
        assert done == b"OK"
        assert isinstance(lost, Unreached)
        assert not isinstance(lost, Moving)
        with pytest.raises(Unreached):
            await to_index.execute([("GET", place.far)])
    assert cluster_nodes.failures


async def test_nobody_waits_for_a_silent_node(
    shared_cluster: Cluster, cluster_nodes: Nodes, place: Place, impatient: None
) -> None:
    away = node_of(place.away)
    with shared_cluster.frozen(place.away):
        with pytest.raises(OutOfReach):
            await cluster_nodes.run(away, [("EXISTS", place.far)])
        calls = cluster_nodes.calls
        for _ in range(3):
            with pytest.raises(OutOfReach, match="a moment ago"):
                await cluster_nodes.run(away, [("EXISTS", place.far)])
        # It was not even asked: that it is back is found out apart.
        assert cluster_nodes.calls <= calls + 1
    async with asyncio.timeout(SOON_S):
        while True:
            with contextlib.suppress(OutOfReach):
                assert await cluster_nodes.run(away, [("EXISTS", place.far)]) == [0]
                return
            await asyncio.sleep(0.01)


async def test_what_was_asked_after_what_timed_out_fails_with_it(
    shared_cluster: Cluster, cluster_nodes: Nodes, place: Place, impatient: None
) -> None:
    away = node_of(place.away)
    with shared_cluster.frozen(place.away):
        first = asyncio.create_task(cluster_nodes.run(away, [("EXISTS", place.far)]))
        # A pipeline of its own.
        await asyncio.sleep(0.1)
        second = asyncio.create_task(cluster_nodes.run(away, [("EXISTS", place.far)]))
        await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert second.done()
        assert isinstance(first.exception(), OutOfReach)
        assert isinstance(second.exception(), OutOfReach)


async def test_the_index_is_told_first(
    shared_cluster: Cluster, to_index: ClusterLink, place: Place, impatient: None
) -> None:
    """Where it cannot be, nothing follows from it."""
    with shared_cluster.frozen(place.home):
        with pytest.raises(OutOfReach):
            await to_index.execute_each([("SET", place.far, 1), ("SET", place.index, 1)])
        with pytest.raises(OutOfReach):
            await to_index.execute_each([("SET", place.near, 1), ("SET", place.far, 1)])
        with contextlib.closing(place.away.client()) as client:
            assert client.get(place.far) == "1", "a team by itself is asked whatever becomes of the index"
    with contextlib.closing(place.home.client()) as client:
        assert client.exists(place.index) in (0, 1)


async def test_a_team_whose_slot_is_being_moved_waits(
    shared_cluster: Cluster, to_index: ClusterLink, place: Place
) -> None:
    slot = slot_of(place.far)
    script = ClusterLink(to_index._nodes, slot_of(place.far), time.monotonic)
    shared_cluster.set_slot(place.away, slot, "MIGRATING", shared_cluster.id_of(place.third))
    try:
        done, waits = await to_index.execute_each([("SET", place.index, 1), ("SET", place.far, 2)])
    finally:
        shared_cluster.set_slot(place.away, slot, "STABLE")
    assert done == b"OK"
    assert isinstance(waits, Moving)
    assert await script.execute([("GET", place.far)]) == [None]


async def test_an_index_whose_slot_is_being_moved_is_waited_for(
    shared_cluster: Cluster, to_index: ClusterLink, place: Place
) -> None:
    slot = slot_of(place.index)
    shared_cluster.set_slot(place.home, slot, "MIGRATING", shared_cluster.id_of(place.third))
    try:
        waiting = asyncio.create_task(to_index.execute([("SET", place.index, 1)]))
        await asyncio.to_thread(shared_cluster.await_sent_on, place.home)
    finally:
        shared_cluster.set_slot(place.home, slot, "STABLE")
    assert await waiting == [b"OK"]


async def test_but_not_for_ever(
    shared_cluster: Cluster, to_index: ClusterLink, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_INDEX_PATIENCE_S", 0.2)
    slot = slot_of(place.index)
    shared_cluster.set_slot(place.home, slot, "MIGRATING", shared_cluster.id_of(place.third))
    try:
        with pytest.raises(OutOfReach, match="is being moved"):
            await to_index.execute([("SET", place.index, 1)])
    finally:
        shared_cluster.set_slot(place.home, slot, "STABLE")


async def test_nodes_that_send_it_to_and_fro_are_asked_a_few_times(
    shared_cluster: Cluster, to_index: ClusterLink, place: Place
) -> None:
    """The one that had the slot has heard that it moved, and the one that is to have it has not."""
    slot = slot_of(place.farther)
    shared_cluster.set_slot(place.away, slot, "NODE", shared_cluster.id_of(place.third))
    try:
        (found,) = await to_index.execute_each([("SET", place.farther, 1)])
    finally:
        shared_cluster.set_slot(place.away, slot, "NODE", shared_cluster.id_of(place.away))
        shared_cluster.await_whole()
    assert isinstance(found, Moving)


async def test_what_is_asked_for_in_one_turn_shares_a_pipeline(
    cluster_nodes: Nodes, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    exchange = Link.exchange

    async def counted(self: Link, commands: list[object]) -> list[object]:
        sizes.append(len(commands))
        return await exchange(self, commands)  # type: ignore[arg-type]

    monkeypatch.setattr(Link, "exchange", counted)
    links = [ClusterLink(cluster_nodes, slot_of(key), time.monotonic) for key in (place.index, place.near, place.far)]
    await asyncio.gather(*[each.execute([("GET", place.index), ("GET", place.near)]) for each in links])
    assert sizes[0] >= 4
    sizes.clear()
    await asyncio.gather(*[links[0].execute(150 * [("GET", place.index)]) for _ in range(3)])
    assert sizes == [150, 150, 150]
    sizes.clear()
    await links[0].execute(300 * [("GET", place.index)])
    assert sizes == [300]


async def test_one_who_gives_up_takes_it_from_nobody(cluster_nodes: Nodes, place: Place) -> None:
    links = [ClusterLink(cluster_nodes, slot_of(key), time.monotonic) for key in (place.index, place.near)]
    given_up, waiting = (asyncio.create_task(each.execute([("GET", place.index)])) for each in links)
    await asyncio.sleep(0)
    given_up.cancel()
    assert await waiting == [None]


async def test_what_is_under_way_when_all_is_closed_is_told_so(shared_cluster: Cluster, place: Place) -> None:
    nodes = nodes_of(shared_cluster.admin_url)
    await nodes.refresh()
    asked = asyncio.create_task(nodes.run(node_of(place.home), [("BLPOP", place.index, 0)]))
    await asyncio.to_thread(shared_cluster.await_blocked, place.home)
    await nodes.close()
    with pytest.raises(OutOfReach):
        await asked
