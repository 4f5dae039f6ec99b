"""Three masters beside one Valkey: what users who do nothing cost, and what changes do, in commands and in time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from benchmark import machine
from benchmark.remote import Remote
from benchmark.results import Results, Sheet, percentile
from benchmark.store_workers import Place, StoreWorker
from tests.support.cluster import Cluster
from tests.support.valkey import Valkey

_US: Final = 1e6
_TEAM: Final = 10
_USERS: Final = 10_000
_IDLE_S: Final = 20.0
_CHANGES_PER_S: Final = 100
_CHANGING_S: Final = 10.0
_LONE: Final = 200
# Commands that looking takes, and what nodes tell each other.
_NOT_COUNTED: Final = frozenset({"info", "ping", "replconf"})


class _Servers(NamedTuple):
    """What a worker is connected to."""

    what: str
    url: str
    nodes: Sequence[Valkey]


class _Spent(NamedTuple):
    """What some work took: time, CPU time, commands run in all nodes, strings written in each of them."""

    wall_s: float
    valkey_s: float
    worker_s: float
    run: int
    written: list[int]


def cluster(results: Results, scale: float, _old: Path | None, tell: Callable[[str], None]) -> None:
    """One worker of users in teams of ten, on one Valkey and on three masters."""
    teams = max(1, round(_USERS * scale / _TEAM))
    for serve in (_one, _three):
        with serve() as servers, Remote[StoreWorker]() as worker:
            users = teams * _TEAM
            sheet = Sheet(
                results,
                f"{users:,} users in teams of {_TEAM}, one worker without sockets, on {servers.what}",
                "presence",
            )
            tell(sheet.case)
            worker.make(StoreWorker, servers.url, Place(0, teams, _TEAM))
            worker.call(StoreWorker.start)
            worker.call(StoreWorker.enter)
            _idle(servers, worker, users, sheet)
            _changes(servers, worker, sheet)
    _concerned(results, tell)


def _idle(servers: _Servers, worker: Remote[StoreWorker], users: int, sheet: Sheet) -> None:
    spent = _spend(servers, worker, lambda: time.sleep(_IDLE_S))
    users_s = users * spent.wall_s
    sheet.add("idle: commands run per user and second", spent.run / users_s)
    sheet.add("idle: commands run per second", spent.run / spent.wall_s)
    sheet.add("idle: Redis's CPU per user and second", spent.valkey_s / users_s * _US, "µs")
    sheet.add("idle: worker's CPU per user and second", spent.worker_s / users_s * _US, "µs")


def _changes(servers: _Servers, worker: Remote[StoreWorker], sheet: Sheet) -> None:
    idle = _spend(servers, worker, lambda: time.sleep(_CHANGING_S))
    busy = _spend(servers, worker, lambda: worker.call(StoreWorker.choose, _CHANGES_PER_S, _CHANGING_S))
    count = _CHANGES_PER_S * _CHANGING_S
    what = f"{_CHANGES_PER_S} changes/s"
    sheet.add(f"{what}: commands run per change, beyond idling", (busy.run - idle.run) / count)
    sheet.add(f"{what}: Redis's CPU per change, beyond idling", (busy.valkey_s - idle.valkey_s) / count * _US, "µs")
    sheet.add(f"{what}: worker's CPU per change, beyond idling", (busy.worker_s - idle.worker_s) / count * _US, "µs")
    took_ms = [took_s * 1000 for took_s in worker.call(StoreWorker.round_trips, _LONE)]
    sheet.add("one change after another: asked → acknowledged, median", median(took_ms), "ms")
    sheet.add("one change after another: asked → acknowledged, p99", percentile(took_ms, 0.99), "ms", "info")


def _concerned(results: Results, tell: Callable[[str], None]) -> None:
    """Changes in one team, and what is written where it is not."""
    with _three() as servers, Remote[StoreWorker]() as worker:
        sheet = Sheet(results, f"one team on {servers.what}", "presence")
        tell(sheet.case)
        worker.make(StoreWorker, servers.url, Place(0, 1, _TEAM))
        worker.call(StoreWorker.start)
        worker.call(StoreWorker.enter)
        written = sorted(_spend(servers, worker, lambda: worker.call(StoreWorker.round_trips, _LONE)).written)
        sheet.add("writes to its shard per change", written[-1] / _LONE, kind="info")
        sheet.add("writes to other shards", sum(written[:-1]), kind="zero")


@contextlib.contextmanager
def _one() -> Iterator[_Servers]:
    valkey = Valkey(tcp=True)
    with contextlib.closing(valkey):
        valkey.start()
        yield _Servers("one Valkey", valkey.url, [valkey])


@contextlib.contextmanager
def _three() -> Iterator[_Servers]:
    with contextlib.closing(Cluster(3)) as cluster:
        yield _Servers("three masters", cluster.url, cluster.nodes)


def _spend(servers: _Servers, worker: Remote[StoreWorker], work: Callable[[], object]) -> _Spent:
    before, cpu_s, started_s = [_calls(node) for node in servers.nodes], _cpu_s(servers, worker), time.monotonic()
    work()
    wall_s, cpu_after_s = time.monotonic() - started_s, _cpu_s(servers, worker)
    after = [_calls(node) for node in servers.nodes]
    run = sum(sum(late.values()) - sum(early.values()) for early, late in zip(before, after, strict=True))
    written = [_written(late) - _written(early) for early, late in zip(before, after, strict=True)]
    return _Spent(wall_s, cpu_after_s[0] - cpu_s[0], cpu_after_s[1] - cpu_s[1], run, written)


def _cpu_s(servers: _Servers, worker: Remote[StoreWorker]) -> tuple[float, float]:
    return sum(machine.cpu_s(node.pid) for node in servers.nodes), machine.cpu_s(worker.pid)


def _written(calls: dict[str, int]) -> int:
    """Every write to a team writes the string of its mark, which no look and no beat does."""
    return calls.get("set", 0) + calls.get("mset", 0)


def _calls(node: Valkey) -> dict[str, int]:
    with contextlib.closing(node.client()) as client:
        stats: Any = client.info("commandstats")
    named = {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}
    return {name: calls for name, calls in named.items() if name not in _NOT_COUNTED}
