"""The two sides of a comparison, each with its processes, its load generator and its probe."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from benchmark import machine
from benchmark.load import Load
from benchmark.probe import Probe
from benchmark.processes import Child, free_port
from benchmark.valkey import Traffic, Valkey
from presence_server.web.auth import mint

SECRET: Final = "a secret of benchmarks alone, 32 bytes or more"
# A server writes what it has counted down twice a second.
_COUNTED_S: Final = 0.55
_SETTLED_S: Final = 60.0
# uvicorn pings each socket so long after the last time, so that those of a crowd that came together go out together.
_PING_S: Final = 20.0
_PONG_S: Final = 1.0


class Idle(NamedTuple):
    """What goes on by itself: CPU time of the server and of Valkey and commands sent to Valkey, each per second."""

    server: float
    valkey: float
    sent: float


NOTHING: Final = Idle(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Window:
    """What a piece of work has cost.

    Attributes:
        answer: of the load generator.
        wall_s: how long it took.
        server_s, valkey_s, generator_s: CPU time, user and system.
        round_trips_ms: of the probe meanwhile.
        traffic: what Valkey counted.
        counted: what the server's own counters were raised by.
    """

    answer: dict[str, Any]
    wall_s: float
    server_s: float
    valkey_s: float
    generator_s: float
    round_trips_ms: list[float]
    traffic: Traffic
    counted: dict[str, float]

    @property
    def sent(self) -> float:
        """Commands sent to Valkey."""
        return self.counted.get("presence_redis_calls_total", 0.0)

    def rates(self) -> Idle:
        """What went on, per second."""
        return Idle(self.server_s / self.wall_s, self.valkey_s / self.wall_s, self.sent / self.wall_s)

    def above(self, idle: Idle) -> Idle:
        """What went on besides what goes on anyway, in total."""
        totals = (self.server_s, self.valkey_s, self.sent)
        return Idle(*(max(0.0, total - rate * self.wall_s) for total, rate in zip(totals, idle, strict=True)))


class Side:
    """The server, or the plain endpoint.

    Attributes:
        idle: what goes on while its crowd just is; phases leave it out of what they measure.
    """

    def __init__(self, name: str, servers: list[Child], load: Load, probe: Probe, valkey: Valkey | None) -> None:
        self.name = name
        self.servers = servers
        self.load = load
        self.probe = probe
        self.valkey = valkey
        self.idle = NOTHING
        self._came_s = 0.0
        self._coming_s = 0.0

    @property
    def plain(self) -> bool:
        return self.valkey is None

    def gather(self, teams: str, sockets: int, team_size: int, watched: int = 0, sampled: int = 20) -> None:
        """Have the load generator make a crowd ready, in teams whose names begin with `teams`."""
        path = "/ws" if self.plain else "/v1/ws"
        self.load.order(
            "gather",
            urls=[f"ws://127.0.0.1:{server.port}{path}" for server in self.servers],
            secret=SECRET,
            teams=teams,
            sockets=sockets,
            team_size=team_size,
            watched=watched,
            sampled=sampled,
            plain=self.plain,
        )

    def connect(self, per_s: float, *, resume: bool = False, full: bool = False) -> dict[str, Any]:
        """Have the crowd connect; see `benchmark.crowd.Crowd.connect`."""
        self._came_s = time.monotonic()
        answer = self.load.order("connect", per_s=per_s, resume=resume, full=full)
        self._coming_s = time.monotonic() - self._came_s
        return answer

    @property
    def pings_at_once(self) -> bool:
        """Whether the crowd is pinged in a burst: the server spreads pings by itself."""
        return self.plain and self._coming_s < _PING_S / 2

    def await_pings_over(self, seconds: float) -> None:
        """Wait until nothing will be pinged in a burst for so many seconds."""
        if self.pings_at_once:
            into_s = (time.monotonic() - self._came_s) % _PING_S
            over_s = self._coming_s + _PONG_S
            if into_s < over_s:
                time.sleep(over_s - into_s)
            elif into_s + seconds + _PONG_S > _PING_S:
                time.sleep(_PING_S - into_s + over_s)

    def measure(self, work: Callable[[], dict[str, Any]], probe_s: float = 0.0) -> Window:
        """Do some work and see what it costs; with `probe_s`, probe the event loop that often meanwhile."""
        counted = self._counted()
        traffic = self._traffic()
        self.probe.take()
        self.probe.interval_s = probe_s
        before = self._cpu_s()
        started_s = time.monotonic()
        answer = work()
        wall_s = time.monotonic() - started_s
        after = self._cpu_s()
        self.probe.interval_s = 0.0
        round_trips_ms = self.probe.take()
        traffic = self._traffic() - traffic
        time.sleep(0.0 if self.plain else _COUNTED_S)
        server_s, valkey_s, generator_s = (late - early for late, early in zip(after, before, strict=True))
        raised = {name: value - counted.get(name, 0.0) for name, value in self._counted().items()}
        return Window(answer, wall_s, server_s, valkey_s, generator_s, round_trips_ms, traffic, raised)

    def resident_kb(self) -> int:
        """Resident memory of the server's processes."""
        return sum(machine.resident_kb(server.pid) for server in self.servers)

    def await_empty(self) -> None:
        """Wait until the server has noticed that all sockets but the probe's are gone."""
        deadline = time.monotonic() + _SETTLED_S
        while self._sockets() > 1:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Expected {self.name} to notice that all sockets are gone, got {self._sockets()}")
            time.sleep(0.1)
        time.sleep(_COUNTED_S)

    def _sockets(self) -> int:
        if self.plain:
            return int(self.servers[0].get("/readyz")[1])
        return int(self._metrics()["presence_connections"])

    def _cpu_s(self) -> tuple[float, float, float]:
        server_s = sum(machine.cpu_s(server.pid) for server in self.servers)
        valkey_s = 0.0 if self.valkey is None else machine.cpu_s(self.valkey.pid)
        return server_s, valkey_s, machine.cpu_s(self.load.pid)

    def _traffic(self) -> Traffic:
        return Traffic(0, 0, 0, 0) if self.valkey is None else self.valkey.traffic()

    def _counted(self) -> dict[str, float]:
        return {} if self.plain else self._metrics()

    def _metrics(self) -> dict[str, float]:
        """The server's counters without labels, summed over its processes."""
        totals: dict[str, float] = {}
        for server in self.servers:
            for name, value in re.findall(r"^(presence_\w+) (\S+)$", server.get("/metrics")[1], re.MULTILINE):
                totals[name] = totals.get(name, 0.0) + float(value)
        return totals


@contextlib.contextmanager
def presence(valkey: Valkey, folder: Path, workers: int = 1) -> Iterator[Side]:
    """Start the server, with its default settings, on an empty Valkey."""
    valkey.empty()
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(workers):
            port = free_port()
            variables = {
                "PRESENCE_PORT": port,
                "PRESENCE_REDIS_URL": valkey.url,
                "PRESENCE_JWT_SECRET": SECRET,
                "PRESENCE_LOG_LEVEL": "warning",
            }
            child = Child(["presence_server", "serve"], variables, port, folder / "server.log")
            servers.append(stack.enter_context(child))
        token = mint(SECRET, user="probe", teams=["probe"])
        probe = Probe(servers[0].port, "/v1/ws", orjson.dumps({"type": "hello", "token": token, "idle_ms": 0}))
        yield _side("presence", servers, folder, probe, valkey, stack)


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[Side]:
    """Start the plain endpoint."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        child = Child(["benchmark.plain", str(port)], {"BENCHMARK_SECRET": SECRET}, port, folder / "plain.log")
        server = stack.enter_context(child)
        probe = Probe(port, "/ws", orjson.dumps({"type": "hello", "user": "probe", "team": "probe"}))
        yield _side("plain", [server], folder, probe, None, stack)


def _side(
    name: str, servers: list[Child], folder: Path, probe: Probe, valkey: Valkey | None, stack: contextlib.ExitStack
) -> Side:
    stack.enter_context(probe)
    return Side(name, servers, stack.enter_context(Load(folder / "generator.log")), probe, valkey)
