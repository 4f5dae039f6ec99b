"""The sides of a comparison, each with its processes, its load generator, its probe and, but for one, its Valkey."""

from __future__ import annotations

import contextlib
import http.client
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import jwt
import orjson

from benchmark import machine
from benchmark.crowd import Crowd, Shape
from benchmark.probe import Probe, probing
from benchmark.remote import Remote
from benchmark.valkey import CountingValkey
from tests.support.ports import free_port
from tests.support.process import Process
from tests.support.worker import ROOT, environment, get_status

_SECRET: Final = "a secret of benchmarks alone; 32 bytes or more"
# A server writes what it has counted down twice a second.
_COUNTED_S: Final = 0.55
_SETTLED_S: Final = 60.0

T = TypeVar("T")


class Cost(NamedTuple):
    """What a piece of work has cost in all, or what goes on in each second.

    Attributes:
        server, valkey, generator: CPU time of the server's processes, of Valkey and of the load generator, seconds.
        run: commands carried out in Redis, those that scripts run inside included.
        sent, heartbeats, published: commands sent to Redis, heartbeats and changes, as counted by the server.
    """

    server: float = 0.0
    valkey: float = 0.0
    generator: float = 0.0
    run: float = 0.0
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
    valkey: CountingValkey | None
    idle: Cost = Cost()  # noqa: RUF009

    @property
    def plain(self) -> bool:
        return self.valkey is None

    def gather(self, teams: str, sockets: int, team_size: int, watched: int = 0) -> None:
        """Have the load generator make a crowd ready, in teams whose names begin with `teams`."""
        urls = [_url(port, plain=self.plain) for port in self.ports]
        watched = 0 if self.plain else watched
        self.crowd.make(Crowd, Shape(urls, _SECRET, teams, sockets, team_size, watched, self.plain))

    def measure(self, work: Callable[[], T], probe_s: float = 0.0) -> Window[T]:
        """Do some work and see what it costs; with `probe_s`, probe the event loop that often meanwhile."""
        counters, counts = self._counters(), self._counts()
        with self.probe.pinging(probe_s) as round_trips_ms:
            cpu, started_s = self._cpu(), time.monotonic()
            answer = work()
            wall_s, cpu_after = time.monotonic() - started_s, self._cpu()
        counts_after = self._counts()
        time.sleep(0.0 if self.plain else _COUNTED_S)
        after = Cost(*cpu_after, *counts_after, *self._counters())
        return Window(answer, wall_s, after.less(Cost(*cpu, *counts, *counters)), round_trips_ms)

    def resident_kb(self) -> int:
        """Resident memory of the server's processes."""
        return sum(map(machine.resident_kb, self.pids))

    def stored_bytes(self) -> int:
        """Memory of Valkey for its data and all around them; 0 where there is none."""
        return self.valkey.memory_bytes() if self.valkey else 0

    def await_empty(self) -> None:
        """Wait until the server has noticed that all sockets but the probe's are gone."""
        deadline = time.monotonic() + _SETTLED_S
        while (left := self._sockets()) > 1:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Expected {self.name} to notice that all sockets are gone, got {left:.0f}")
            time.sleep(0.1)
        time.sleep(_COUNTED_S)

    def _sockets(self) -> float:
        return float(_get(self.ports[0], "/readyz")) if self.plain else self._metrics("connections")[0]

    def _cpu(self) -> tuple[float, float, float]:
        valkey_s = 0.0 if self.valkey is None else machine.cpu_s(self.valkey.pid)
        return sum(map(machine.cpu_s, self.pids)), valkey_s, machine.cpu_s(self.crowd.pid)

    def _counts(self) -> tuple[float]:
        return (0.0 if self.valkey is None else self.valkey.counts()[0],)

    def _counters(self) -> list[float]:
        return self._metrics("redis_calls_total", "heartbeats_total", "changes_published_total")

    def _metrics(self, *names: str) -> list[float]:
        """Some of the server's counters, summed over its processes."""
        text = "" if self.plain else "".join(_get(port, "/metrics") for port in self.ports)
        return [sum(map(float, re.findall(rf"^presence_{name} (\S+)$", text, re.MULTILINE))) for name in names]


@contextlib.contextmanager
def presence(name: str, checkout: Path, folder: Path, workers: int = 1) -> Iterator[Side]:
    """Start the server of a checkout, with its default settings, on an empty Valkey; its log goes to `folder`."""
    with contextlib.ExitStack() as stack:
        valkey = stack.enter_context(CountingValkey())
        ports = [free_port() for _ in range(workers)]
        settings = {"redis_url": valkey.admin_url, "jwt_secret": _SECRET, "log_level": "warning"}
        pids = [
            _serve(stack, name, folder, port, ["presence_server", "serve"], checkout, settings | {"port": port})
            for port in ports
        ]
        claims = {"sub": "probe", "teams": ["probe"], "exp": time.time() + 86_400}
        yield _side(stack, name, pids, ports, {"token": jwt.encode(claims, _SECRET, "HS256"), "idle_ms": 0}, valkey)


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[Side]:
    """Start the plain endpoint."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        pid = _serve(stack, "plain", folder, port, ["benchmark.plain", str(port), _SECRET], ROOT / "scripts", {})
        yield _side(stack, "plain", [pid], [port], {"user": "probe", "team": "probe"}, None)


def _serve(
    stack: contextlib.ExitStack,
    name: str,
    folder: Path,
    port: int,
    module: list[str],
    package: Path,
    settings: dict[str, object],
) -> int:
    variables = environment(settings) | {"PYTHONPATH": str(package)}
    process = Process(name, [sys.executable, "-m", *module], variables, folder)
    stack.callback(process.close)
    process.spawn()
    process.await_sync(lambda: get_status(port, "/readyz") == 200)
    return process.pid


def _side(
    stack: contextlib.ExitStack,
    name: str,
    pids: list[int],
    ports: list[int],
    hello: dict[str, object],
    valkey: CountingValkey | None,
) -> Side:
    text = orjson.dumps({"type": "hello"} | hello).decode()
    probe = stack.enter_context(probing(_url(ports[0], plain=valkey is None), text))
    return Side(name, pids, ports, stack.enter_context(Remote[Crowd]()), probe, valkey)


def _url(port: int, *, plain: bool) -> str:
    return f"ws://127.0.0.1:{port}{'/ws' if plain else '/v1/ws'}"


def _get(port: int, path: str) -> str:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
