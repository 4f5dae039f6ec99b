"""What the store costs without sockets: a million users of simulated workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, Self, TypeVar

from benchmark import machine
from benchmark.remote import Remote
from benchmark.results import Results, Sheet, percentile
from benchmark.store_workers import Place, StoreWorker
from benchmark.valkey import CountingValkey

P = ParamSpec("P")
R = TypeVar("R")

_US: Final = 1e6
_WORKERS: Final = 10
_TEAM: Final = 10
_USERS_OF_WORKER: Final = 100_000
_IDLE_S: Final = 40.0
_CHANGES_PER_S: Final = 500
_CHANGING_S: Final = 20.0
# Long enough for every worker to notice.
_OUTAGE_S: Final = 2.0
_LOADING_S: Final = 300.0
_DEATH_S: Final = 180.0
_LONG_US: Final = 500
_LOGGED: Final = 20_000


class _Spent(NamedTuple):
    """What some work took: time, CPU time, commands and scripts run in Redis, and how long each long script took."""

    wall_s: float
    valkey_s: float
    workers_s: float
    run: float
    scripts: float
    long_us: list[float]

    def add_longest(self, what: str, sheet: Sheet) -> None:
        """Note the longest script; by the clock, so a Valkey that was not let run seems slow: hence the percentile."""
        every = self.long_us + [float(_LONG_US)] * (round(self.scripts) - len(self.long_us))
        sheet.add(f"{what}: scripts, p99.9", percentile(every, 0.999), "µs", "info")
        sheet.add(f"{what}: longest script", percentile(every, 1), "µs", "info")


class _Room:
    """A Valkey, and workers on it with teams of their own."""

    def __init__(self, workers: int, teams: int, team_size: int) -> None:
        self._stack = ExitStack()
        self.valkey = self._stack.enter_context(CountingValkey())
        self.workers = [self._stack.enter_context(Remote[StoreWorker]()) for _ in range(workers)]
        for number, worker in enumerate(self.workers):
            worker.make(StoreWorker, self.valkey.url, Place(number, teams, team_size))
        self.all(StoreWorker.start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def all(
        self, method: Callable[Concatenate[StoreWorker, P], Coroutine[Any, Any, R]], *args: P.args, **named: P.kwargs
    ) -> list[R]:
        """Have every worker do something, at the same time."""
        asked = [worker.begin(method, *args, **named) for worker in self.workers]
        return [each.result() for each in asked]

    def spend(self, work: Callable[[], object]) -> _Spent:
        """See what some work takes."""
        client = self.valkey.looker
        client.config_set("slowlog-max-len", _LOGGED)
        client.config_set("slowlog-log-slower-than", _LONG_US)
        counts, cpu_s, started_s = self.valkey.counts(), self._cpu_s(), time.monotonic()
        work()
        wall_s, cpu_after_s = time.monotonic() - started_s, self._cpu_s()
        run, scripts, _ = (late - early for late, early in zip(self.valkey.counts(), counts, strict=True))
        entries: Any = client.slowlog_get(_LOGGED)
        # It takes memory, too.
        client.config_set("slowlog-log-slower-than", -1)
        client.slowlog_reset()
        long_us = [float(entry["duration"]) for entry in entries if entry["command"].startswith(b"EVALSHA")]
        return _Spent(wall_s, cpu_after_s[0] - cpu_s[0], cpu_after_s[1] - cpu_s[1], run, scripts, long_us)

    def _cpu_s(self) -> tuple[float, float]:
        return machine.cpu_s(self.valkey.pid), sum(machine.cpu_s(worker.pid) for worker in self.workers)


def million(results: Results, scale: float, _old: Path | None, tell: Callable[[str], None]) -> None:
    """A million users in teams of ten: idle, changing, when Valkey is started again, and when a worker dies."""
    teams = max(1, round(_USERS_OF_WORKER * scale / _TEAM))
    users = teams * _TEAM * _WORKERS
    title = f"{users:,} users in teams of {_TEAM}, {_WORKERS} workers without sockets"
    sheet = Sheet(results, title, "presence")
    tell(title)
    with _Room(_WORKERS, teams, _TEAM) as room:
        before_bytes = room.valkey.memory_bytes()
        spent = room.spend(lambda: room.all(StoreWorker.enter))
        sheet.add("joining: Valkey's CPU per user", spent.valkey_s / users * _US, "µs")
        spent.add_longest("joining", sheet)
        sheet.add("Valkey's resident memory", machine.resident_kb(room.valkey.pid) / 1024, "MB")
        sheet.add("bytes in Redis per user", (room.valkey.memory_bytes() - before_bytes) / users)
        tell("… idle")
        _alike("idle", room.spend(lambda: time.sleep(_IDLE_S)), users, sheet)
        tell(f"… {_CHANGES_PER_S} changes a second")
        each = _CHANGES_PER_S / _WORKERS
        spent = room.spend(lambda: room.all(StoreWorker.choose, each, _CHANGING_S))
        _alike(f"{_CHANGES_PER_S} changes/s", spent, users, sheet)
        for empty in (False, True):
            tell(f"… Valkey restarted {'without' if empty else 'with'} its data")
            _restart(room, users, sheet, empty=empty)
        tell("… a worker dies")
        _die(room, teams, sheet)


def _alike(what: str, spent: _Spent, users: int, sheet: Sheet) -> None:
    users_s = users * spent.wall_s
    sheet.add(f"{what}: Valkey's CPU", spent.valkey_s / spent.wall_s * 100, "%")
    sheet.add(f"{what}: Valkey's CPU per user and second", spent.valkey_s / users_s * _US, "µs", "info")
    sheet.add(f"{what}: Redis commands run per user and second", spent.run / users_s)
    sheet.add(f"{what}: the workers' CPU per user and second", spent.workers_s / users_s * _US, "µs")
    spent.add_longest(what, sheet)


def _restart(room: _Room, users: int, sheet: Sheet, *, empty: bool) -> None:
    what = "restart without data" if empty else "restart with data"
    before = sum(room.all(StoreWorker.disturbed))
    room.valkey.stop()
    time.sleep(_OUTAGE_S)
    started_s = time.monotonic()
    if empty:
        room.valkey.forget()
    room.valkey.start(_LOADING_S)
    sheet.add(f"{what}: until Valkey answers", time.monotonic() - started_s, "s", "info")
    room.all(StoreWorker.recovered)
    sheet.add(f"{what}: until all are live again", time.monotonic() - started_s, "s")
    sheet.add(f"{what}: users not online afterwards", users - sum(room.all(StoreWorker.held)), kind="zero")
    sheet.add(
        f"{what}: times anybody was told offline, or closed", sum(room.all(StoreWorker.disturbed)) - before, kind="zero"
    )


def _die(room: _Room, teams: int, sheet: Sheet) -> None:
    victim = room.workers.pop()
    before = sum(room.all(StoreWorker.changes_made))
    due_ms = victim.call(StoreWorker.lease_end_ms)
    victim.kill()
    started_s, offline = time.monotonic(), 0
    while offline < teams * _TEAM and time.monotonic() - started_s < _DEATH_S:
        time.sleep(0.2)
        offline = sum(room.all(StoreWorker.changes_made)) - before
    sheet.add("a worker's death: until all of its users are offline", time.monotonic() - started_s, "s")
    latest_ms = room.workers[0].call(StoreWorker.latest_ms, Place(len(room.workers), teams, _TEAM))
    sheet.add("a worker's death: how late the latest", (latest_ms - due_ms) / 1000, "s")
    sheet.add("a worker's death: users too few or too many", abs(teams * _TEAM - offline), kind="zero")
