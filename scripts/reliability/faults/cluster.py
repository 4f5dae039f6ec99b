"""Faults of a cluster: a shard that nobody replaces, slots that move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from presence_server.store.slots import slot_of
from reliability.faults.fault import Area, CarryOut, Fault, Hit
from reliability.oracle.record import Loss, Trouble
from reliability.oracle.spans import Span
from reliability.stage import Stage
from reliability.topologies.cluster import Shards
from tests.support.cluster import Cluster, index_of
from tests.support.timing import now_ms
from tests.support.valkey import Valkey

_NO_FAILOVER: Final = "cluster-replica-no-failover"


def _lost(harm: Callable[[Valkey], None], mend: Callable[[Valkey], None], loss: Loss) -> CarryOut:
    async def carry_out(stage: Stage, hit: Hit) -> list[Trouble]:
        shards = _shards(stage)
        master = await asyncio.to_thread(shards.master, hit.draw)
        teams = await asyncio.to_thread(shards.concerned, master, stage.teams)
        async with _without_successor(shards.cluster, master):
            at = now_ms()
            harm(master)
            try:
                await asyncio.sleep(hit.for_s)
            finally:
                await asyncio.to_thread(mend, master)
            await asyncio.to_thread(shards.cluster.await_whole)
        return [Trouble(hit.fault, Span(at, now_ms()), teams=teams, outage=True, loss=loss)]

    return carry_out


def _moved(tag_of: Callable[[str], str]) -> CarryOut:
    async def carry_out(stage: Stage, hit: Hit) -> list[Trouble]:
        shards = _shards(stage)
        cluster = shards.cluster
        tag = tag_of(stage.teams[int(hit.draw * len(stage.teams))])
        source = await asyncio.to_thread(cluster.master_of, tag)
        to = next(master for master in await asyncio.to_thread(shards.masters) if master is not source)
        at = now_ms()
        await asyncio.to_thread(cluster.move, slot_of(tag), to, asked=True)
        teams = frozenset(team for team in stage.teams if tag in (team, index_of(team)))
        return [Trouble(hit.fault, Span(at, now_ms()), teams=teams)]

    return carry_out


def _start_empty(server: Valkey) -> None:
    # What it once had from a master whose replica it was is on its disk.
    server.forget()
    server.start()


@asynccontextmanager
async def _without_successor(cluster: Cluster, master: Valkey) -> AsyncIterator[None]:
    """Nobody takes a master's place, as if it had no replica."""
    replica = await asyncio.to_thread(cluster.replica_of, master)
    await asyncio.to_thread(replica.says, "CONFIG", "SET", _NO_FAILOVER, "yes")
    try:
        yield
    finally:
        await asyncio.to_thread(replica.says, "CONFIG", "SET", _NO_FAILOVER, "no")


def _shards(stage: Stage) -> Shards:
    assert isinstance(stage.topology, Shards), "Expected a cluster"
    return stage.topology


def _fault(name: str, about: str, carry_out: CarryOut, lasts_s: tuple[float, float] = (0, 0)) -> Fault:
    return Fault(name, about, lasts_s, carry_out, Area.REDIS, topologies=("cluster",))


FAULTS: Final = (
    _fault(
        "shard-stop-short",
        "a master without a replica stands still for less than a lease",
        _lost(Valkey.pause, Valkey.resume, Loss.NOTHING),
        (2, 4),
    ),
    _fault(
        "shard-stop-long",
        "the same for more than two leases",
        _lost(Valkey.pause, Valkey.resume, Loss.NOTHING),
        (13, 15),
    ),
    _fault(
        "shard-kill",
        "a master without a replica is killed and comes back without its data",
        _lost(Valkey.kill, _start_empty, Loss.EVERYTHING),
        (1, 6),
    ),
    _fault("slot-move", "the slot of a team is moved to another master while people work", _moved(str)),
    _fault("index-move", "the slot of a partition's index is moved to another master", _moved(index_of)),
)
