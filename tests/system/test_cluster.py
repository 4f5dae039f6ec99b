"""A cluster under whole workers: what moves, what is lost for a while, and who notices."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from presence_server.store.cluster.cluster import PARTITIONS
from presence_server.store.lane import PATIENCE_S
from presence_server.store.slots import Partition, number_of, slot_of
from tests.conftest import NewSite
from tests.support.cluster import Cluster, index_of
from tests.support.timing import GRACE_S, LEASE_S, SLACK_S, SOON_S
from tests.support.tls import certificate, tls_in_front_of
from tests.support.valkey import ACCOUNT, PASSWORD, Valkey

AGAIN_S = 2 * SOON_S + SLACK_S
PARTIAL = ("--cluster-require-full-coverage", "no")

NewCluster = Callable[..., Cluster]


@pytest.fixture
def new_cluster() -> Iterator[NewCluster]:
    """Forms a cluster that the test may take apart."""
    with ExitStack() as stack:

        def form(masters: int = 3, *, replicas: int = 0, options: tuple[str, ...] = PARTIAL) -> Cluster:
            cluster = Cluster(masters, replicas=replicas, options=options)
            stack.callback(cluster.close)
            return cluster

        yield form


async def test_a_shard_that_is_lost_takes_its_own_teams_along_and_nobody_else_s(
    new_cluster: NewCluster, new_site: NewSite
) -> None:
    cluster = new_cluster()
    lost, well = cluster.nodes[0], cluster.nodes[1]
    far, near = cluster.team_on(lost), cluster.team_on(well)
    site = await new_site(workers=2, redis_url=cluster.url)
    maria = await site.connect("maria", teams=[far, near], on=0)
    juan = await site.connect("juan", teams=[near], on=1)
    ana = await site.connect("ana", teams=[far], on=1)
    await maria.sees_all({"maria": "online", "ana": "online"}, team=far)
    await maria.sees_all({"maria": "online", "juan": "online"}, team=near)
    lost.pause()
    try:
        await maria.expect("feed", live=False, team=far, within_s=AGAIN_S)
        await ana.expect("feed", live=False, team=far, within_s=AGAIN_S)
        await juan.choose("busy")
        await maria.sees("juan", "busy", team=near)
        late = await site.connect("eva", teams=[far, near], on=1, settled=False)
        assert set((await late.expect("welcome", within_s=AGAIN_S))["teams"]) == {far, near}
        await late.expect("feed", live=False, team=far)
        await late.expect("snapshot", team=near)
        await late.sees_all({"maria": "online", "juan": "busy", "eva": "online"}, team=near)
        assert (await juan.request("renew", token=site.token("juan", teams=[near, far])))["type"] == "ack"
        await juan.expect("feed", live=False, team=far)
        await late.send("set_status", id="all", status="busy")
        await maria.sees("eva", "busy", team=near)
        # That takes longer than a lease: who is cut off counts as dead there.
        refused = await late.answer("all", within_s=PATIENCE_S + SOON_S)
        assert (refused["type"], refused["code"]) == ("error", "unavailable")
        assert far in refused["message"]
        assert [worker.readyz() for worker in site.workers] == [200, 200]
    finally:
        lost.resume()
    await maria.expect("feed", live=True, team=far, within_s=AGAIN_S)
    await late.expect("feed", live=True, team=far, within_s=AGAIN_S)
    await juan.expect("feed", live=True, team=far, within_s=AGAIN_S)
    everybody = {"maria": "online", "ana": "online", "eva": "online", "juan": "online"}
    await maria.sees_all(everybody, team=far, within_s=AGAIN_S)
    await juan.sees_all(everybody, team=far)
    maria.never_saw("ana", "offline", team=far)
    await ana.choose("busy")
    await maria.sees("ana", "busy", team=far)
    for client in (maria, juan, late):
        assert not [each for each in client.of_type("feed") if each.get("team") != far]


@pytest.mark.parametrize("coverage", ["yes", "no"])
async def test_a_shard_that_dies_comes_back_empty(new_cluster: NewCluster, new_site: NewSite, coverage: str) -> None:
    """Without full coverage the others go on, with it all wait; either way nobody is ever shown offline."""
    cluster = new_cluster(options=("--cluster-require-full-coverage", coverage))
    lost, well = cluster.nodes[0], cluster.nodes[1]
    far, near = cluster.team_on(lost), cluster.team_on(well)
    site = await new_site(redis_url=cluster.url)
    maria = await site.connect("maria", teams=[far, near])
    await site.connect("ana", teams=[far, near])
    await maria.sees_all({"maria": "online", "ana": "online"}, team=far)
    lost.kill()
    await maria.expect("feed", live=False, team=far, within_s=AGAIN_S)
    if coverage == "yes":
        await maria.expect("feed", live=False, team=near, within_s=AGAIN_S)
    lost.start()
    await maria.expect("feed", live=True, team=far, within_s=2 * AGAIN_S)
    if coverage == "yes":
        await maria.expect("feed", live=True, team=near, within_s=2 * AGAIN_S)
    for team in (far, near):
        await maria.sees_all({"maria": "online", "ana": "online"}, team=team, within_s=AGAIN_S)
        maria.never_saw("ana", "offline", team=team)
    # By some of twenty partitions after others.
    assert 1 <= site.workers[0].log().count("Redis has lost data") <= 2
    await maria.choose("busy")
    await maria.sees("maria", "busy", team=far)


@pytest.mark.parametrize(("count", "pause_s"), [(20, 0.25), pytest.param(500, 2.0, marks=pytest.mark.long)])
async def test_slots_move_while_people_work(
    new_cluster: NewCluster, new_site: NewSite, count: int, pause_s: float
) -> None:
    """A node is added and takes slots over, for which their teams wait: nothing is lost, doubled or told twice."""
    cluster = new_cluster()
    site = await new_site(workers=2, redis_url=cluster.url)
    teams = [cluster.team_on(cluster.nodes[0], f"t{number}") for number in range(5)]
    people = [await site.connect(f"u{number}", teams=[teams[number % 5]], on=number % 2) for number in range(count)]
    for number, person in enumerate(people):
        await person.sees_all({f"u{n}": "online" for n in range(number % 5, count, 5)}, within_s=AGAIN_S)
    indexes = {slot_of(index_of(team)) for team in teams}
    new = await asyncio.to_thread(cluster.add)
    moved = asyncio.Event()
    rounds = [0] * len(people)

    async def work(number: int) -> None:
        while not moved.is_set():
            await people[number].choose("busy" if rounds[number] % 2 == 0 else "online")
            rounds[number] += 1
            await asyncio.sleep(pause_s)

    async def move() -> None:
        try:
            for slot in [*map(slot_of, teams), *indexes]:
                done = rounds[:]
                await asyncio.to_thread(cluster.move, slot, new, asked=True)
                async with asyncio.timeout(AGAIN_S):
                    while any(now == then for now, then in zip(rounds, done, strict=True)):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
        finally:
            moved.set()

    await asyncio.gather(move(), *[work(number) for number in range(len(people))])
    assert {cluster.master_of(team).tcp_port for team in teams} == {new.tcp_port}
    for number, person in enumerate(people):
        shown = {f"u{n}": "busy" if rounds[n] % 2 else "online" for n in range(number % 5, count, 5)}
        await person.sees_all(shown, within_s=AGAIN_S)
        for other in range(number % 5, count, 5):
            person.never_saw(f"u{other}", "offline")
        person.check()
        assert not person.of_type("feed"), "a slot that moves is no outage"
    await people[0].logout()
    await people[5].sees("u0", "offline", reason="signed_out")


async def test_every_node_is_reached_by_tls(new_cluster: NewCluster, new_site: NewSite, tmp_path: Path) -> None:
    cluster, pem = new_cluster(), certificate(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(tls_in_front_of(node.connect, pem)) for node in cluster.nodes]
        await asyncio.to_thread(cluster.announce, ports)
        url = f"rediss+cluster://{ACCOUNT}:{PASSWORD}@127.0.0.1:{ports[0]}?ssl_ca_certs={pem}"
        site = await new_site(workers=2, redis_url=url)
        teams = [cluster.team_on(node) for node in cluster.nodes]
        maria, juan = [await site.connect(user, teams=teams, on=on) for on, user in enumerate(("maria", "juan"))]
        for team in teams:
            await maria.sees_all({"maria": "online", "juan": "online"}, team=team)
        await juan.choose("busy")
        for team in teams:
            await maria.sees("juan", "busy", team=team)
        listed = [line for node in cluster.nodes for line in node.says("CLIENT", "LIST").splitlines()]
        connected = [line for line in listed if f"user={ACCOUNT}" in line.split()]
        assert connected
        # The relays come by sockets of the file system.
        assert not [line for line in connected if "addr=127.0.0.1" in line], "nobody past the relays"
        for worker in site.workers:
            await asyncio.to_thread(worker.close)


async def test_a_change_costs_nothing_where_its_team_is_not(new_cluster: NewCluster, new_site: NewSite) -> None:
    cluster = new_cluster()
    teams = [cluster.team_on(node) for node in cluster.nodes]
    site = await new_site(redis_url=cluster.url)
    maria, juan = [await site.connect(user, teams=[teams[0]]) for user in ("maria", "juan")]
    # Beats and looks at deadlines write no strings, as every write to a team does.
    before = [_written(cluster, node) for node in cluster.nodes]
    for status in 10 * ("busy", "online"):
        await maria.choose(status)
        await juan.sees("maria", status)
    written = [_written(cluster, node) - was for node, was in zip(cluster.nodes, before, strict=True)]
    assert written[0] >= 20
    assert written[1:] == [0, 0]


def _written(cluster: Cluster, node: Valkey) -> int:
    calls = cluster.calls(node)
    return calls.get("set", 0) + calls.get("mset", 0)


async def test_a_replica_takes_over_without_the_last_writes(new_cluster: NewCluster, new_site: NewSite) -> None:
    cluster = new_cluster(replicas=1)
    master = cluster.nodes[0]
    team = cluster.team_on(master)
    other = cluster.team_on(cluster.nodes[1])
    site = await new_site(workers=2, redis_url=cluster.url)
    maria = await site.connect("maria", teams=[team], on=0)
    juan = await site.connect("juan", teams=[team, other], on=1)
    await maria.sees_all({"maria": "online", "juan": "online"})
    replica = cluster.replica_of(master)
    replica.pause()
    try:
        ana = await site.connect("ana", teams=[team], on=0)
        await maria.sees("ana", "online")
        master.kill()
    finally:
        replica.resume()
    await maria.expect("feed", live=False, team=team, within_s=AGAIN_S)
    await maria.expect("feed", live=True, team=team, within_s=4 * AGAIN_S)
    await maria.sees_all({"maria": "online", "juan": "online", "ana": "online"}, within_s=AGAIN_S)
    await juan.choose("busy")
    await maria.sees("juan", "busy")
    await ana.sees("juan", "busy")
    maria.never_saw("ana", "offline")
    maria.never_saw("juan", "offline")
    assert not [each for each in juan.of_type("feed") if each.get("team") != team]
    await ana.end()
    await maria.sees("ana", "offline", reason="disconnected", within_s=GRACE_S + LEASE_S + AGAIN_S)


async def test_one_shard_comes_back_empty_while_another_stands_still(
    new_cluster: NewCluster, new_site: NewSite
) -> None:
    """Who has signed out is remembered in two places, of which one is empty then and one does not answer."""
    cluster = new_cluster()
    emptied, still = cluster.nodes[0], cluster.nodes[1]
    team = cluster.team_on(emptied)
    maria, juan, eva = itertools.islice(_users_at(cluster, emptied, still), 3)
    site = await new_site(workers=2, redis_url=cluster.url)
    one = await site.connect(maria, teams=[team], on=0)
    other = await site.connect(juan, teams=[team], on=1)
    await one.sees_all({maria: "online", juan: "online"}, team=team)
    emptied.kill()
    await one.expect("feed", live=False, team=team, within_s=AGAIN_S)
    emptied.forget()
    emptied.start()
    still.pause()
    try:
        await one.expect("feed", live=True, team=team, within_s=AGAIN_S)
        await one.choose("busy")
        await other.sees(maria, "busy", team=team, within_s=AGAIN_S)
        late = await site.connect(eva, teams=[team], on=1)
        await late.sees_all({maria: "busy", juan: "online", eva: "online"}, team=team)
        await one.sees(eva, "online", team=team)
    finally:
        still.resume()
    one.never_saw(juan, "offline", team=team)


def _users_at(cluster: Cluster, *nodes: Valkey) -> Iterator[str]:
    """Users whose sign-outs are remembered in two partitions on these servers."""
    half = PARTITIONS // 2
    homes = {
        number
        for number in range(half)
        if nodes == tuple(cluster.master_of(Partition(each, PARTITIONS).tag) for each in (number, number + half))
    }
    names = (f"user-{number}" for number in itertools.count())
    return (name for name in names if number_of(name, PARTITIONS) in homes)


async def test_nobody_waits_for_a_shard_that_stands_still_and_has_nothing_of_his_team(
    new_cluster: NewCluster, new_site: NewSite
) -> None:
    """Who has signed out is remembered there, too."""
    cluster = new_cluster()
    still, well = cluster.nodes[0], cluster.nodes[1]
    team = cluster.team_on(well)
    users = list(itertools.islice(_users_at(cluster, still, well), 3))
    site = await new_site(workers=2, redis_url=cluster.url)
    watcher = await site.connect("watcher", teams=[team])
    still.pause()
    try:
        # The first before anybody has noticed that the shard does not answer.
        for number, user in enumerate(users):
            await site.connect(user, teams=[team], sid="s1", on=number % 2)
            await watcher.sees(user, "online", team=team)
    finally:
        still.resume()
