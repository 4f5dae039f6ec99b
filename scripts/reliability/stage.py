"""Everything that runs: Redis, relays, workers, the balancer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from reliability.oracle.bounds import Bounds
from reliability.topologies.topology import Topology
from tests.support.balancer import HaProxy
from tests.support.proxy import RedisProxy
from tests.support.tokens import SECRET
from tests.support.worker import Worker

_FAKETIME: Final = "faketime/libfaketime.so.1"
_START_S: Final = 60.0

Everybody = Callable[[str, float, float], Iterator[Coroutine[None, None, None]]]


class Stage:
    """What faults act upon.

    Args:
        topology: Redis.
        workers: how many.
        bounds: the times the workers are set to.
        teams: those people are in.
        relayed: whether each worker reaches Redis through a relay of its own.
        directory: where logs go.

    Attributes:
        bounds: as given.
        everybody: makes a share of all tabs do something, for so many seconds; the run sets it.
    """

    everybody: Everybody

    def __init__(
        self,
        topology: Topology,
        workers: int,
        bounds: Bounds,
        teams: Sequence[str],
        directory: Path,
        *,
        relayed: bool,
    ) -> None:
        self.topology, self.teams = topology, teams
        self.workers: list[Worker] = []
        self.relays: list[RedisProxy] = []
        self._count, self.bounds, self._directory, self._relayed = workers, bounds, directory, relayed
        self._stack = ExitStack()
        self.balancer: HaProxy

    def start(self) -> None:
        """Start everything, and wait until it serves."""
        self._stack.callback(self.topology.close)
        self.topology.start()
        for number in range(1, self._count + 1):
            url = self.topology.url
            if self._relayed:
                (master,) = self.topology.masters()
                self.relays.append(RedisProxy(master.tcp_port))
                self._stack.callback(self.relays[-1].close)
                url = self.relays[-1].url
            worker = Worker(f"worker{number}", self._directory, self._settings() | {"redis_url": url})
            self._stack.callback(worker.close)
            self.workers.append(worker)
            worker.spawn()
        for worker in self.workers:
            worker.await_sync(lambda worker=worker: worker.readyz() == 200, _START_S)  # type: ignore[misc]
        self.balancer = HaProxy(self.workers, self._directory)
        self._stack.callback(self.balancer.close)
        self.balancer.start()

    def close(self) -> None:
        """End everything."""
        self._stack.close()

    def worker(self, draw: float) -> Worker:
        """One worker, by a number from 0 to 1."""
        return self.workers[math.floor(draw * len(self.workers)) % len(self.workers)]

    def relay(self, draw: float) -> RedisProxy:
        """The relay of that worker."""
        return self.relays[math.floor(draw * len(self.relays)) % len(self.relays)]

    async def restart(self, worker: Worker) -> None:
        """Drain a worker and start it again."""
        worker.terminate()
        await worker.wait()
        await self.bring_up(worker)

    async def bring_up(self, worker: Worker) -> None:
        """Start a worker, and wait until it serves; Redis may be away for longer than a start takes."""
        worker.spawn()
        await asyncio.to_thread(worker.await_sync, lambda: worker.readyz() == 200, _START_S)

    def clock_off(self, seconds: int) -> dict[str, str]:
        """What a worker's environment needs for its clock to be off by so much."""
        library = next(iter(Path("/usr/lib").glob(f"*/{_FAKETIME}")), None)
        if library is None:
            raise FileNotFoundError("Expected libfaketime, got none: apt-get install libfaketime")
        # By it elapsed time is still measured rightly: only the time of day is wrong.
        return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def _settings(self) -> dict[str, object]:
        bounds = self.bounds
        return {
            "jwt_secret": SECRET,
            "key_prefix": "test-chaos",
            "lease_ttl": bounds.lease / 1000,
            "disconnect_grace": bounds.grace / 1000,
            "heartbeat_interval": bounds.heartbeat / 1000,
            "ping_interval": bounds.ping / 2000,
            "ping_timeout": bounds.ping / 2000,
            "drain_timeout": 1.5,
            "trusted_proxies": "127.0.0.1",
            "max_connections_per_user": 50,
        }
