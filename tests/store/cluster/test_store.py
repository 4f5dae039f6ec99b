"""A worker's store on a cluster whose index lies on one node, and teams on all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from presence_server.settings import Settings
from presence_server.store import answers
from presence_server.store.backend import Ears
from presence_server.store.cluster import cluster as module
from presence_server.store.slots import slot_of
from tests.store.support import Party, becomes_true
from tests.support.cluster import Cluster


@pytest.fixture
async def party(shared_cluster: Cluster, key_prefix: str) -> AsyncIterator[Party]:
    """One worker's store, with a single partition."""
    url = shared_cluster.url
    party = Party(url, Settings(redis_url=url, key_prefix=key_prefix))
    await party.store.link.reset()
    async with party.running():
        yield party


@pytest.fixture
def teams(shared_cluster: Cluster) -> tuple[str, str]:
    """A team on the index's node, and one on another."""
    home = shared_cluster.master_of("due")
    away = next(node for node in shared_cluster.nodes if node is not home)
    return shared_cluster.tags_on(home, 1)[0], shared_cluster.tags_on(away, 1)[0]


async def _housekeep(party: Party) -> None:
    """What a worker does twice a second."""
    while True:
        party.store.housekeep()
        await asyncio.sleep(0.02)


@pytest.fixture
async def keeping(party: Party) -> AsyncIterator[None]:
    task = asyncio.create_task(_housekeep(party))
    yield
    task.cancel()


async def test_it_works_wherever_a_team_lies(shared_cluster: Cluster, party: Party) -> None:
    teams = [tag for node in shared_cluster.nodes for tag in shared_cluster.tags_on(node, 2)]
    await asyncio.gather(*[party.join(team=team) for team in teams])
    await asyncio.gather(*[party.choose("maria", "busy", team=team) for team in teams])
    assert [await party.status(team=team) for team in teams] == len(teams) * [("busy", "chosen")]
    assert {raw is not None for raw in await party.store.reads.marks(teams)} == {True}
    for team in teams:
        await party.lost_for_good(team=team)
    await party.store.refuse_session("maria", "s1")
    assert await party.store.is_signed_out("maria", "s1") == 1
    assert not party.downs
    assert not party.stale


async def test_a_team_whose_slot_moves_waits_and_is_stale_if_that_takes_long(
    shared_cluster: Cluster, party: Party, teams: tuple[str, str], keeping: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_BROKEN_S", 0.3)
    near, far = teams
    for team in teams:
        await party.join(team=team)
    owner = shared_cluster.master_of(far)
    other = next(node for node in shared_cluster.nodes if node is not owner)
    shared_cluster.set_slot(owner, slot_of(far), "MIGRATING", shared_cluster.id_of(other))
    try:
        waiting = party.store.choose(far, "maria", "busy", "maria")
        assert (await party.choose("maria", "busy", team=near)).changed == 1
        await becomes_true(lambda: party.stale)
        assert not waiting.done()
    finally:
        shared_cluster.set_slot(owner, slot_of(far), "STABLE")
    assert (await waiting).changed == 1
    assert set(party.stale[:-1]) == {(far, True)}
    assert party.stale[-1] == (far, False)
    assert party.downs == []


async def test_a_team_whose_node_stands_still_is_stale_alone_and_nothing_is_done_twice(
    shared_cluster: Cluster, party: Party, teams: tuple[str, str], keeping: None, impatient: None
) -> None:
    near, far = teams
    for team in teams:
        await party.join(team=team)
    version = (await party.standing(far)).mark.version
    with shared_cluster.frozen(shared_cluster.master_of(far)):
        waiting = party.store.choose(far, "maria", "busy", "maria")
        await becomes_true(lambda: (far, True) in party.stale)
        assert (await party.choose("maria", "busy", team=near)).changed == 1
    await waiting
    assert (await party.standing(far)).mark.version == version + 1
    assert party.stale[-1] == (far, False)
    assert party.downs == []


async def test_the_topology_is_asked_for_every_now_and_then(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WATCH_S", 0.01)
    topology = party.store.link._nodes.topology  # type: ignore[attr-defined]
    owner = topology.owner(7)
    wrong = next(node for node in topology.owners() if node != owner)
    topology.moved(7, wrong)
    watching = asyncio.create_task(party.backend.watch(lambda why: None))
    await becomes_true(lambda: topology.owner(7) == owner)
    watching.cancel()


async def test_a_feed_is_closed_with_all_else(shared_cluster: Cluster, party: Party) -> None:
    heard: list[object] = []
    ears = Ears(lambda team, raw: heard.append(raw), heard.append, heard.append, heard.append)
    feed = party.backend.subscription(party.store.keys, "w1", ears)
    await feed.connect()
    await feed.subscribe("acme")
    await party.choose("maria", "busy", team="acme", by="ana")
    await becomes_true(lambda: heard)
    assert party.backend.failures == 0
    assert party.backend.calls > 0
    assert len(party.backend.keys) == 1
    another = party.backend.subscription(party.store.keys, "w1", ears)
    await another.close()
