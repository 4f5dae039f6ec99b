"""Faults between one worker and Redis: cut off, gone silent, one way only, slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from reliability.faults.fault import Area, CarryOut, Fault, Hit
from reliability.oracle.record import Trouble
from reliability.oracle.spans import Span
from reliability.stage import Stage
from tests.support.proxy import RedisProxy
from tests.support.timing import now_ms

_LATENCY_S: Final = 0.2


def _relay(harm: Callable[[RedisProxy], None]) -> CarryOut:
    async def carry_out(stage: Stage, hit: Hit) -> list[Trouble]:
        worker, relay = stage.worker(hit.draw), stage.relay(hit.draw)
        at = now_ms()
        harm(relay)
        try:
            await asyncio.sleep(hit.for_s)
        finally:
            relay.mend()
        return [Trouble(hit.fault, Span(at, now_ms()), worker=worker.name)]

    return carry_out


async def _slow(stage: Stage, hit: Hit) -> list[Trouble]:
    at = now_ms()
    for relay in stage.relays:
        relay.delay(_LATENCY_S / 2)
    try:
        await asyncio.sleep(hit.for_s)
    finally:
        for relay in stage.relays:
            relay.delay(0)
    # A change goes to Redis and back, and what is read in between waits its turn.
    return [Trouble(hit.fault, Span(at, now_ms()), slow=int(5 * _LATENCY_S * 1000))]


def _fault(name: str, about: str, carry_out: CarryOut, lasts_s: tuple[float, float], area: Area = Area.WORKER) -> Fault:
    # Members of a cluster, and Sentinels, name addresses that lead past a relay.
    return Fault(name, about, lasts_s, carry_out, area, relayed=True, topologies=("single",))


_SHORT: Final = "for less than a lease"
_LONG: Final = "for more than a lease"
_CUT: Final = _relay(RedisProxy.cut)
_CABLE: Final = _relay(RedisProxy.pull_cable)

FAULTS: Final = (
    _fault("cut-short", f"one worker's connections to Redis are reset and refused, {_SHORT}", _CUT, (1, 4)),
    _fault("cut-long", f"the same {_LONG}", _CUT, (8, 11)),
    _fault("cable-short", f"no byte passes between one worker and Redis, {_SHORT}, then all do", _CABLE, (2, 4)),
    _fault("cable-long", f"the same {_LONG}", _CABLE, (8, 11)),
    _fault("one-way-up", "what one worker sends to Redis does not arrive", _relay(RedisProxy.block_requests), (3, 9)),
    _fault("one-way-down", "what Redis sends to one worker does not arrive", _relay(RedisProxy.block_replies), (3, 9)),
    _fault(
        "deaf", "one worker loses all that is published, without an error", _relay(RedisProxy.lose_publications), (3, 9)
    ),
    _fault("latency", "200 ms from every worker to Redis and back", _slow, (8, 10), Area.WORKERS),
)
