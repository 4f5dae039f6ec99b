"""Faults of workers: killed, restarted, standing still, by a clock that is wrong."""

from __future__ import annotations

import asyncio
from typing import Final

from reliability.faults.fault import Area, Fault, Hit
from reliability.oracle.record import Trouble
from reliability.oracle.spans import Span
from reliability.stage import Stage
from tests.support.timing import now_ms

_HOUR_S: Final = 3600


async def _kill(stage: Stage, hit: Hit) -> list[Trouble]:
    worker = stage.worker(hit.draw)
    at = now_ms()
    worker.kill()
    died = Trouble(hit.fault, Span(at, now_ms()), worker=worker.name, died=True)
    await asyncio.sleep(hit.for_s)
    await stage.bring_up(worker)
    return [died]


async def _kill_all(stage: Stage, hit: Hit) -> list[Trouble]:
    at = now_ms()
    for worker in stage.workers:
        worker.kill()
    died = [Trouble(hit.fault, Span(at, at), worker=worker.name, died=True) for worker in stage.workers]
    await asyncio.sleep(hit.for_s)
    await asyncio.gather(*map(stage.bring_up, stage.workers))
    # With all of them dead nobody sweeps: to the index it is as if Redis had been away.
    return [*died, Trouble(hit.fault, Span(at, now_ms()), outage=True)]


async def _drain(stage: Stage, hit: Hit) -> list[Trouble]:
    at = now_ms()
    worker = stage.worker(hit.draw)
    await stage.restart(worker)
    return [Trouble(hit.fault, Span(at, now_ms()), ended=(worker.name,))]


async def _roll(stage: Stage, hit: Hit) -> list[Trouble]:
    at = now_ms()
    for worker in stage.workers:
        await stage.restart(worker)
    return [Trouble(hit.fault, Span(at, now_ms()), ended=tuple(worker.name for worker in stage.workers))]


async def _stop(stage: Stage, hit: Hit) -> list[Trouble]:
    worker = stage.worker(hit.draw)
    at = now_ms()
    worker.pause()
    try:
        await asyncio.sleep(hit.for_s)
    finally:
        worker.resume()
    return [Trouble(hit.fault, Span(at, now_ms()), worker=worker.name)]


async def _clock(stage: Stage, hit: Hit) -> list[Trouble]:
    at = now_ms()
    worker = stage.worker(hit.draw)
    right = dict(worker.environment)
    worker.environment |= stage.clock_off(_HOUR_S if hit.draw < 0.5 else -_HOUR_S)
    try:
        await stage.restart(worker)
        await asyncio.sleep(hit.for_s)
    finally:
        worker.environment = right
    await stage.restart(worker)
    return [Trouble(hit.fault, Span(at, now_ms()), ended=(worker.name,))]


FAULTS: Final = (
    Fault("worker-kill", "a worker is killed (SIGKILL) and started again", (0.5, 5), _kill, Area.WORKER),
    Fault("workers-kill", "all workers are killed at once and started again", (0.1, 1), _kill_all, Area.WORKERS),
    Fault("worker-drain", "a worker is drained (SIGTERM) and started again", (0, 0), _drain, Area.WORKER),
    Fault(
        "rolling-restart", "all workers are drained and started again, one after another", (0, 0), _roll, Area.WORKERS
    ),
    Fault("worker-stop-short", "a worker stands still (SIGSTOP) for less than a lease", (1, 4), _stop, Area.WORKER),
    Fault("worker-stop-long", "a worker stands still (SIGSTOP) for more than a lease", (8, 11), _stop, Area.WORKER),
    Fault("worker-clock", "a worker's clock is an hour ahead or behind", (6, 8), _clock, Area.WORKER),
)
