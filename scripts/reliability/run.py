"""One run: a schedule is played on a stage, and what was seen of it is judged."""

from __future__ import annotations

import asyncio
import gzip
import logging
import pickle
import re
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

from reliability.crowd import Crowd
from reliability.faults import FAULTS
from reliability.faults.fault import Area, Fault, Hit
from reliability.machine import Machine
from reliability.oracle.bounds import Bounds
from reliability.oracle.judge import judge
from reliability.oracle.record import Record, Trouble
from reliability.oracle.spans import Span
from reliability.oracle.verdict import Verdict
from reliability.people import place
from reliability.schedule import ENTRY_S, Schedule
from reliability.stage import Stage
from reliability.topologies import TOPOLOGIES
from tests.support.api import Api
from tests.support.timing import now_ms
from tests.support.tokens import mint

_PLACED_EVERY_S: Final = 0.25
_RECORD: Final = "record.pickle.gz"

Tell = Callable[[str], None]


class Outcome(NamedTuple):
    """What came of a run.

    Attributes:
        sweep_lag: by upper bound in seconds, how many times going offline was noticed so late or earlier.
    """

    verdict: Verdict
    record: Record
    sweep_lag: dict[float, int]

    def worst_sweep_lag_s(self) -> float:
        """The bound below which all of them were; outages that put deadlines off are in it."""
        most = max(self.sweep_lag.values(), default=0)
        return min((bound for bound, count in self.sweep_lag.items() if most and count == most), default=0.0)


def play(schedule: Schedule, topology: str, directory: Path, tell: Tell) -> Outcome:
    """Start everything, play a schedule, end everything, judge.

    Args:
        topology: one of `TOPOLOGIES`.
        directory: where logs go, and what was seen, to be judged again.
        tell: called with what is going on.
    """
    # What the library says of connections that were cut is in the transcripts.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    directory.mkdir(parents=True, exist_ok=True)
    relayed = any(FAULTS[hit.fault].relayed for hit in schedule.hits)
    redis, teams = TOPOLOGIES[topology](), [*schedule.teams]
    stage = Stage(redis, schedule.workers, Bounds(), teams, directory, relayed=relayed)
    try:
        stage.start()
        record, sweep_lag = asyncio.run(_Run(schedule, stage, tell).play())
    finally:
        stage.close()
    with gzip.open(directory / _RECORD, "wb", compresslevel=1) as file:
        pickle.dump((record, sweep_lag), file)
    return Outcome(judge(record), record, sweep_lag)


def judge_again(directory: Path) -> Outcome:
    """Judge what was seen in a run before: that needs no server, and the oracle may have changed."""
    with gzip.open(directory / _RECORD) as file:
        record, sweep_lag = pickle.load(file)
    record.bounds = Bounds()
    return Outcome(judge(record), record, sweep_lag)


class _Run:
    def __init__(self, schedule: Schedule, stage: Stage, tell: Tell) -> None:
        self._schedule, self._stage, self._tell = schedule, stage, tell
        self._bounds = stage.bounds
        self._crowd = Crowd(stage.balancer.ws_url, schedule, self._bounds)
        stage.everybody = self._crowd.everybody
        self._machine = Machine(self._pids)
        self._troubles: list[Trouble] = []
        self._busy_with: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def play(self) -> tuple[Record, dict[float, int]]:
        await self._configure()
        around = [asyncio.create_task(each) for each in (self._machine.watch(), self._place())]
        start_ms = now_ms()
        began_s = time.monotonic()
        hitting = asyncio.create_task(self._hit_all(began_s))
        for step in self._schedule.steps:
            await _until(began_s + step.at_s)
            self._crowd.do(step)
            self._crowd.check()
        await hitting
        await _until(began_s + self._schedule.duration_s)
        span = Span(start_ms + int(ENTRY_S * 1000), now_ms())
        sweep_lag = await self._sweep_lag()
        for task in around:
            task.cancel()
        await asyncio.gather(*around, return_exceptions=True)
        await self._crowd.end()
        record = Record(self._bounds, span, {team: idle_s * 1000 for team, idle_s in self._schedule.teams.items()})
        record.transcripts = self._crowd.people.transcripts
        place(record.transcripts)
        record.troubles = sorted(self._troubles, key=lambda trouble: trouble.span)
        record.busy = self._machine.busy
        return record, sweep_lag

    async def _configure(self) -> None:
        teams = list(self._schedule.teams)
        for team, idle_s in self._schedule.teams.items():
            api = Api(self._stage.balancer.http_url, mint("boss", teams, admin=True), team)
            await api.set_idle_timeout(idle_s)
            await api.close()

    async def _hit_all(self, began_s: float) -> None:
        async with asyncio.TaskGroup() as hitting:
            for hit in self._schedule.hits:
                hitting.create_task(self._hit(hit, began_s))

    async def _hit(self, hit: Hit, began_s: float) -> None:
        await _until(began_s + hit.at_s)
        fault = FAULTS[hit.fault]
        async with AsyncExitStack() as held:
            for lock in self._locks(fault, hit):
                await held.enter_async_context(lock)
            self._tell(f"{hit.fault} for {hit.for_s:.1f} s")
            self._troubles += await fault.carry_out(self._stage, hit)

    def _locks(self, fault: Fault, hit: Hit) -> list[asyncio.Lock]:
        """What happens to the same comes one after another."""
        names = [worker.name for worker in self._stage.workers]
        of_area = {
            Area.WORKER: [self._stage.worker(hit.draw).name],
            Area.WORKERS: names,
            Area.REDIS: ["redis"],
            Area.CLIENTS: ["clients"],
        }
        return [self._busy_with[name] for name in of_area[fault.area]]

    async def _place(self) -> None:
        """Ask the balancer who is where, again and again."""
        lines = self._crowd.people.lines
        while True:
            for port, worker in (await self._stage.balancer.placed()).items():
                if port in lines:
                    lines[port].worker = worker
            await asyncio.sleep(_PLACED_EVERY_S)

    def _pids(self) -> list[int]:
        processes = [*self._stage.workers, *self._stage.topology.servers(), self._stage.balancer]
        return [process.pid for process in processes if process.alive]

    async def _sweep_lag(self) -> dict[float, int]:
        found: dict[float, int] = {}
        for worker in self._stage.workers:
            api = Api(worker.http_url, None, "")
            text = (await api.request("GET", "/metrics")).text
            await api.close()
            pattern = r'^presence_sweep_lag_seconds_bucket\{le="(\S+)"\} (\S+)$'
            for bound, count in re.findall(pattern, text, re.MULTILINE):
                found[float(bound)] = found.get(float(bound), 0) + int(float(count))
        return found


async def _until(at_s: float) -> None:
    await asyncio.sleep(max(0.0, at_s - time.monotonic()))
