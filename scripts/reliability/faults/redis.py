"""Faults of Redis: killed, standing still, emptied, full, refusing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from reliability.faults.fault import Area, CarryOut, Fault, Hit
from reliability.oracle.record import Loss, Trouble
from reliability.oracle.spans import Span
from reliability.stage import Stage
from tests.support.timing import now_ms


def _kill(*, empty: bool) -> CarryOut:
    async def carry_out(stage: Stage, hit: Hit) -> list[Trouble]:
        at = now_ms()
        killed = stage.topology.masters()
        for server in killed:
            server.kill()
            if empty:
                server.forget()
        await asyncio.sleep(hit.for_s)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in killed))
        loss = Loss.EVERYTHING if empty else Loss.NOTHING
        return [Trouble(hit.fault, Span(at, now_ms()), outage=True, loss=loss)]

    return carry_out


async def _stop(stage: Stage, hit: Hit) -> list[Trouble]:
    at = now_ms()
    stopped = stage.topology.masters()
    for server in stopped:
        server.pause()
    try:
        await asyncio.sleep(hit.for_s)
    finally:
        for server in stopped:
            server.resume()
    return [Trouble(hit.fault, Span(at, now_ms()), outage=True)]


def _told(*command: str, loss: Loss = Loss.NOTHING, outage: bool = True, replicas: bool = False) -> CarryOut:
    """A command that does harm at once, and needs no mending."""

    async def carry_out(stage: Stage, hit: Hit) -> list[Trouble]:
        at = now_ms()
        await asyncio.to_thread(stage.topology.tell, *command, replicas=replicas)
        return [Trouble(hit.fault, Span(at, now_ms()), outage=outage, loss=loss)]

    return carry_out


def _set(setting: str, wrong: str, then: Callable[[Stage], None] | None = None) -> CarryOut:
    """A setting with which Redis refuses, until it is set back."""

    async def carry_out(stage: Stage, hit: Hit) -> list[Trouble]:
        tell = stage.topology.tell
        at, (found, *_) = now_ms(), await asyncio.to_thread(tell, "CONFIG", "GET", setting)
        await asyncio.to_thread(tell, "CONFIG", "SET", setting, wrong)
        try:
            if then is not None:
                await asyncio.to_thread(then, stage)
            await asyncio.sleep(hit.for_s)
        finally:
            await asyncio.to_thread(tell, "CONFIG", "SET", setting, found[setting])
        return [Trouble(hit.fault, Span(at, now_ms()), outage=True)]

    return carry_out


def _hang_up(stage: Stage) -> None:
    stage.topology.tell("CLIENT", "KILL", "TYPE", "pubsub")


def _fault(
    name: str, about: str, carry_out: CarryOut, lasts_s: tuple[float, float] = (0, 0), *, alone: bool = False
) -> Fault:
    """A fault of Redis; `alone`: of a Redis that has no other to take its place."""
    topologies = ("single",) if alone else ("single", "sentinel", "cluster")
    return Fault(name, about, lasts_s, carry_out, Area.REDIS, topologies=topologies)


_KILL_NORMAL: Final = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
_KILL_PUBSUB: Final = ("CLIENT", "KILL", "TYPE", "pubsub")

FAULTS: Final = (
    _fault("redis-kill", "Redis is killed and started again with its data", _kill(empty=False), (0.2, 4), alone=True),
    _fault("redis-kill-empty", "Redis comes back without its data", _kill(empty=True), (0.2, 4), alone=True),
    _fault("redis-stop", "Redis stands still (SIGSTOP) for 3 s", _stop, (3, 3), alone=True),
    _fault("redis-stop-long", "Redis stands still for more than two leases", _stop, (14, 16), alone=True),
    _fault("flushall", "`FLUSHALL`", _told("FLUSHALL", loss=Loss.EVERYTHING)),
    _fault("client-kill-normal", "`CLIENT KILL TYPE normal`", _told(*_KILL_NORMAL, replicas=True)),
    _fault("client-kill-pubsub", "`CLIENT KILL TYPE pubsub`", _told(*_KILL_PUBSUB, replicas=True)),
    _fault("script-flush", "`SCRIPT FLUSH`", _told("SCRIPT", "FLUSH", outage=False, replicas=True)),
    _fault("read-only", "Redis refuses writes: `min-replicas-to-write`", _set("min-replicas-to-write", "9"), (2, 8)),
    _fault("out-of-memory", "Redis is full: `maxmemory`, noeviction", _set("maxmemory", "1"), (2, 8)),
    _fault(
        "maxclients",
        "no further connections to Redis, and the subscriptions are cut",
        _set("maxclients", "1", _hang_up),
        (2, 8),
    ),
)
