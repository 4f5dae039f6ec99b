"""The sides of a comparison, each with its processes, its load generator, its probe and, but for one, its Valkey."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import jwt
import orjson

from benchmark import machine
from benchmark.crowd import Crowd, Shape
from benchmark.probe import Probe
from benchmark.processes import free_port, get, serving
from benchmark.remote import Remote
from benchmark.valkey import Valkey

HERE: Final = Path(__file__).parents[2]
_SECRET: Final = "a secret of benchmarks alone, 32 bytes or more"
# A server writes what it has counted down twice a second.
_COUNTED_S: Final = 0.55
_SETTLED_S: Final = 60.0
# uvicorn pings each socket so long after the last time, so that those of a crowd that came together go out together.
_PING_S: Final = 20.0
_PONG_S: Final = 1.0

T = TypeVar("T")


class Cost(NamedTuple):
    """What a piece of work has cost in all, or what goes on in each second.

    Attributes:
        server, valkey, generator: CPU time of the server's processes, of Valkey and of the load generator, seconds.
        run: commands carried out in Redis, those that scripts run inside included.
        bytes: that Redis has received and sent.
        scripts, scripts_us: scripts that Redis has run, and how long they took.
        sent, heartbeats, published: commands sent to Redis, heartbeats and changes, as counted by the server.
    """

    server: float = 0.0
    valkey: float = 0.0
    generator: float = 0.0
    run: float = 0.0
    bytes: float = 0.0
    scripts: float = 0.0
    scripts_us: float = 0.0
    sent: float = 0.0
    heartbeats: float = 0.0
    published: float = 0.0

    def less(self, other: Cost, times: float = 1.0) -> Cost:
        """What is left when another cost is taken off so many times; never less than nothing."""
        return Cost(*(max(0.0, mine - theirs * times) for mine, theirs in zip(self, other, strict=True)))


@dataclass(slots=True)
class Window(Generic[T]):
    """A piece of work: what came of it, how long it took, its cost, and the probe's round trips meanwhile."""

    answer: T
    wall_s: float
    cost: Cost
    round_trips_ms: list[float]


@dataclass(slots=True)
class Side:
    """A server, or the plain endpoint.

    Attributes:
        name: `presence` for this checkout, `old` for another, `plain` for the plain endpoint.
        pids, ports: of its processes.
        crowd: its load generator.
        idle: what goes on in each second while its crowd just is; phases leave it out of what they measure.
    """

    name: str
    pids: list[int]
    ports: list[int]
    crowd: Remote[Crowd]
    probe: Probe
    valkey: Valkey | None
    idle: Cost = Cost()  # noqa: RUF009
    _came_s: float = 0.0
    _coming_s: float = 0.0

    @property
    def plain(self) -> bool:
        return self.valkey is None

    def gather(self, teams: str, sockets: int, team_size: int, watched: int = 0, sampled: int = 20) -> None:
        """Have the load generator make a crowd ready, in teams whose names begin with `teams`."""
        urls = [_url(port, plain=self.plain) for port in self.ports]
        watched = 0 if self.plain else watched
        self.crowd.make(Crowd, Shape(urls, _SECRET, teams, sockets, team_size, watched, sampled, self.plain))

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """Everybody comes in this block: pings will follow."""
        self._came_s = time.monotonic()
        yield
        self._coming_s = time.monotonic() - self._came_s

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

    def measure(self, work: Callable[[], T], probe_s: float = 0.0) -> Window[T]:
        """Do some work and see what it costs; with `probe_s`, probe the event loop that often meanwhile."""
        counters, counts = self._counters(), self._counts()
        self.probe.take()
        self.probe.interval_s = probe_s
        cpu, started_s = self._cpu(), time.monotonic()
        answer = work()
        wall_s, cpu_after = time.monotonic() - started_s, self._cpu()
        self.probe.interval_s = 0.0
        counts_after = self._counts()
        time.sleep(0.0 if self.plain else _COUNTED_S)
        after = Cost(*cpu_after, *counts_after, *self._counters())
        return Window(answer, wall_s, after.less(Cost(*cpu, *counts, *counters)), self.probe.take())

    def resident_kb(self) -> int:
        """Resident memory of the server's processes."""
        return sum(map(machine.resident_kb, self.pids))

    def await_empty(self) -> None:
        """Wait until the server has noticed that all sockets but the probe's are gone."""
        deadline = time.monotonic() + _SETTLED_S
        while (left := self._sockets()) > 1:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Expected {self.name} to notice that all sockets are gone, got {left:.0f}")
            time.sleep(0.1)
        time.sleep(_COUNTED_S)

    def _sockets(self) -> float:
        return float(get(self.ports[0], "/readyz")[1]) if self.plain else self._metric("connections")

    def _cpu(self) -> tuple[float, float, float]:
        valkey_s = 0.0 if self.valkey is None else machine.cpu_s(self.valkey.pid)
        return sum(map(machine.cpu_s, self.pids)), valkey_s, machine.cpu_s(self.crowd.pid)

    def _counts(self) -> tuple[float, ...]:
        return (0.0,) * 4 if self.valkey is None else self.valkey.counts()

    def _counters(self) -> tuple[float, ...]:
        return tuple(map(self._metric, ("redis_calls_total", "heartbeats_total", "changes_published_total")))

    def _metric(self, name: str) -> float:
        """One of the server's counters, summed over its processes."""
        pages = [] if self.plain else [get(port, "/metrics")[1] for port in self.ports]
        found = [re.search(rf"^presence_{name} (\S+)$", page, re.MULTILINE) for page in pages]
        return sum(float(value[1]) for value in found if value is not None)


@contextlib.contextmanager
def presence(name: str, checkout: Path, log: Path, workers: int = 1) -> Iterator[Side]:
    """Start the server of a checkout, with its default settings, on an empty Valkey."""
    with contextlib.ExitStack() as stack:
        valkey = stack.enter_context(Valkey())
        variables = {
            "PRESENCE_REDIS_URL": valkey.url,
            "PRESENCE_JWT_SECRET": _SECRET,
            "PRESENCE_LOG_LEVEL": "warning",
        }
        ports = [free_port() for _ in range(workers)]
        servers = [
            stack.enter_context(
                serving(checkout, port, log, "presence_server", "serve", PRESENCE_PORT=port, **variables)
            )
            for port in ports
        ]
        claims = {"sub": "probe", "teams": ["probe"], "exp": time.time() + 86_400}
        hello = {"token": jwt.encode(claims, _SECRET, "HS256"), "idle_ms": 0}
        yield _side(stack, name, [server.pid for server in servers], ports, hello, valkey)


@contextlib.contextmanager
def plain(log: Path) -> Iterator[Side]:
    """Start the plain endpoint."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        server = serving(HERE / "scripts", port, log, "benchmark.plain", str(port), BENCHMARK_SECRET=_SECRET)
        pid = stack.enter_context(server).pid
        yield _side(stack, "plain", [pid], [port], {"user": "probe", "team": "probe"}, None)


def _side(
    stack: contextlib.ExitStack,
    name: str,
    pids: list[int],
    ports: list[int],
    hello: dict[str, object],
    valkey: Valkey | None,
) -> Side:
    text = orjson.dumps({"type": "hello"} | hello).decode()
    probe = stack.enter_context(Probe(_url(ports[0], plain=valkey is None), text))
    return Side(name, pids, ports, stack.enter_context(Remote[Crowd]()), probe, valkey)


def _url(port: int, *, plain: bool) -> str:
    return f"ws://127.0.0.1:{port}{'/ws' if plain else '/v1/ws'}"
