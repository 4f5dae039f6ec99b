"""Faults of a master that others can replace, and of the Sentinels that see to it."""

from __future__ import annotations

import asyncio
from typing import Final

from reliability.faults.fault import Area, CarryOut, Fault, Hit
from reliability.oracle.record import Loss, Trouble
from reliability.oracle.spans import Span
from reliability.stage import Stage
from reliability.topologies.sentinel import Sentinels
from tests.support.sentinels import SERVICE, Replicated
from tests.support.timing import now_ms
from tests.support.valkey import Valkey

_FAILOVER_S: Final = 30.0
_POLL_S: Final = 0.1


async def _kill(stage: Stage, hit: Hit) -> list[Trouble]:
    servers = _replicated(stage)
    at, master = now_ms(), servers.master()
    master.kill()
    replaced = await _replaced(servers, master)
    await asyncio.sleep(hit.for_s)
    # It comes back empty and follows the new one, which nobody may notice.
    await asyncio.to_thread(master.start)
    return [Trouble(hit.fault, Span(at, replaced), outage=True, loss=Loss.LAST_WRITES)]


async def _stop(stage: Stage, hit: Hit) -> list[Trouble]:
    servers = _replicated(stage)
    at, master = now_ms(), servers.master()
    master.pause()
    try:
        replaced = await _replaced(servers, master)
        await asyncio.sleep(hit.for_s)
    finally:
        master.resume()
    return [Trouble(hit.fault, Span(at, replaced), outage=True, loss=Loss.LAST_WRITES)]


async def _on_command(stage: Stage, hit: Hit) -> list[Trouble]:
    servers = _replicated(stage)
    at, master = now_ms(), servers.master()
    await asyncio.to_thread(servers.sentinels[0].says, "SENTINEL", "FAILOVER", SERVICE)
    return [Trouble(hit.fault, Span(at, await _replaced(servers, master)), outage=True, loss=Loss.LAST_WRITES)]


async def _kill_sentinel(stage: Stage, hit: Hit) -> list[Trouble]:
    sentinels = _replicated(stage).sentinels
    at, killed = now_ms(), sentinels[int(hit.draw * len(sentinels))]
    killed.kill()
    await asyncio.sleep(hit.for_s)
    await asyncio.to_thread(killed.start)
    return [Trouble(hit.fault, Span(at, now_ms()))]


def _replicated(stage: Stage) -> Replicated:
    assert isinstance(stage.topology, Sentinels), "Expected Sentinels"
    return stage.topology.replicated


async def _replaced(servers: Replicated, master: Valkey) -> int:
    """Wait until Sentinels name another master, and it says so itself; returns when that was so."""
    async with asyncio.timeout(_FAILOVER_S):
        while not await asyncio.to_thread(_has_other, servers, master):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_POLL_S)
    return now_ms()


def _has_other(servers: Replicated, master: Valkey) -> bool:
    found = servers.master()
    return found is not master and found.says("ROLE")[0] == "master"


def _fault(name: str, about: str, carry_out: CarryOut, lasts_s: tuple[float, float] = (0, 0)) -> Fault:
    return Fault(name, about, lasts_s, carry_out, Area.REDIS, topologies=("sentinel",))


FAULTS: Final = (
    _fault(
        "master-kill", "the master is killed, another takes its place, and it comes back as a replica", _kill, (1, 3)
    ),
    _fault("master-stop", "the master stands still until another has taken its place, and longer", _stop, (1, 4)),
    _fault("failover", "`SENTINEL FAILOVER`", _on_command),
    _fault("sentinel-kill", "a Sentinel is killed and started again", _kill_sentinel, (2, 6)),
)
