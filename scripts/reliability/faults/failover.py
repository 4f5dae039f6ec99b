"""Faults of a master that others replace, and of the Sentinels that see to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from reliability.faults.fault import Area, CarryOut, Fault, Hit
from reliability.oracle.record import Loss, Trouble
from reliability.oracle.spans import Span
from reliability.stage import Stage
from reliability.topologies.highly_available import HighlyAvailable
from reliability.topologies.sentinel import Sentinels
from tests.support.timing import now_ms
from tests.support.valkey import Valkey

_FAILOVER_S: Final = 30.0
_POLL_S: Final = 0.1


def _replaced(harm: Callable[[HighlyAvailable, Valkey], None], mend: Callable[[Valkey], None]) -> CarryOut:
    """Harm a master until another has taken its place and longer, then mend it: that nobody may notice."""

    async def carry_out(stage: Stage, hit: Hit) -> list[Trouble]:
        redis = stage.topology
        assert isinstance(redis, HighlyAvailable), "Expected masters that can be replaced"
        master = await asyncio.to_thread(redis.master, hit.draw)
        teams = await asyncio.to_thread(redis.concerned, master, stage.teams)
        is_replaced = await asyncio.to_thread(redis.succession, master)
        at = now_ms()
        await asyncio.to_thread(harm, redis, master)
        try:
            over = await _once(is_replaced)
            await asyncio.sleep(hit.for_s)
        finally:
            await asyncio.to_thread(mend, master)
        await _once(lambda: redis.follows(master))
        return [Trouble(hit.fault, Span(at, over), teams=teams, outage=True, loss=Loss.LAST_WRITES)]

    return carry_out


async def _kill_sentinel(stage: Stage, hit: Hit) -> list[Trouble]:
    assert isinstance(stage.topology, Sentinels), "Expected Sentinels"
    sentinels = stage.topology.replicated.sentinels
    at, killed = now_ms(), sentinels[int(hit.draw * len(sentinels))]
    killed.kill()
    await asyncio.sleep(hit.for_s)
    await asyncio.to_thread(killed.start)
    return [Trouble(hit.fault, Span(at, now_ms()))]


async def _once(so: Callable[[], bool]) -> int:
    """Wait until something is so; returns when it was."""
    async with asyncio.timeout(_FAILOVER_S):
        while not await asyncio.to_thread(so):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_POLL_S)
    return now_ms()


def _fault(
    name: str,
    about: str,
    carry_out: CarryOut,
    lasts_s: tuple[float, float] = (0, 0),
    topologies: tuple[str, ...] = ("sentinel", "cluster"),
) -> Fault:
    return Fault(name, about, lasts_s, carry_out, Area.REDIS, topologies=topologies)


FAULTS: Final = (
    _fault(
        "master-kill",
        "a master is killed, another takes its place, and it comes back empty as a replica",
        _replaced(lambda _, master: master.kill(), Valkey.start),
        (1, 3),
    ),
    _fault(
        "master-stop",
        "a master stands still until another has taken its place, and longer",
        _replaced(lambda _, master: master.pause(), Valkey.resume),
        (1, 4),
    ),
    _fault(
        "failover",
        "`SENTINEL FAILOVER`, `CLUSTER FAILOVER FORCE`",
        _replaced(lambda redis, master: redis.fail_over(master), lambda _: None),
    ),
    _fault("sentinel-kill", "a Sentinel is killed and started again", _kill_sentinel, (2, 6), ("sentinel",)),
)
