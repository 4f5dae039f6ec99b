"""A real cluster of our own: masters and replicas that are killed, moved about and brought back."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import redis

from presence_server.store.cluster.cluster import PARTITIONS
from presence_server.store.slots import SLOTS, Partition, number_of, slot_of
from tests.support.ports import free_port
from tests.support.valkey import ACCOUNT, PASSWORD, Valkey

NODE_TIMEOUT_MS = 1_000
_WITHIN_S = 30.0


class Cluster:
    """Some Valkeys that are one cluster.

    Args:
        masters: how many, each with an equal share of the slots.
        replicas: how many each of them has.
        options: of each server, such as `("--cluster-require-full-coverage", "no")`.

    Attributes:
        nodes: the servers, masters first.
    """

    def __init__(self, masters: int = 3, *, replicas: int = 0, options: Sequence[str] = ()) -> None:
        self._stack = ExitStack()
        self._bus_ports: dict[int, int] = {}
        self._announced: dict[int, Valkey] = {}
        self._options = options
        self.nodes: list[Valkey] = []
        try:
            for _ in range(masters * (1 + replicas)):
                self._start_one()
            self._form(masters)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """For what is tested: with the rights that are documented, and no more."""
        return f"redis+cluster://{ACCOUNT}:{PASSWORD}@{self._addresses}"

    @property
    def admin_url(self) -> str:
        """For what tests do themselves."""
        return f"redis+cluster://{self._addresses}"

    @property
    def _addresses(self) -> str:
        return ",".join(f"127.0.0.1:{node.tcp_port}" for node in self.nodes)

    def close(self) -> None:
        self._stack.close()

    # --- where things are ---------------------------------------------------------------------------------------------

    def master_of(self, tag: str) -> Valkey:
        """The server that has a team, or whatever else a hash tag names."""
        return self._at(self._owner_port(slot_of(tag)))

    def tags_on(self, node: Valkey, count: int) -> list[str]:
        """Some hash tags in different slots of a server."""
        named = (f"tag-{number}" for number in itertools.count())
        return list(itertools.islice((tag for tag in named if self.master_of(tag) is node), count))

    def team_on(self, node: Valkey, name: str = "team") -> str:
        """An id of a team that a server has, together with the index of its partition."""
        for number in itertools.count():
            team = f"{name}-{number}"
            if self.master_of(team) is node and self.master_of(index_of(team)) is node:
                return team
        raise AssertionError

    def clients(self) -> Iterator[redis.Redis]:
        """A blocking client of each server that runs."""
        for node in self.nodes:
            if node.alive:
                with contextlib.closing(node.client()) as client:
                    yield client

    def scan(self, pattern: str) -> list[str]:
        """All keys that fit, on masters."""
        return [
            str(key)
            for client in self.clients()
            if client.info("replication")["role"] == "master"
            for key in client.scan_iter(pattern, count=1000)
        ]

    def calls(self, node: Valkey) -> dict[str, int]:
        """How many times each command has run on a server."""
        with contextlib.closing(node.client()) as client:
            return {name.partition("_")[2]: row["calls"] for name, row in client.info("commandstats").items()}

    # --- what is done to it -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def frozen(self, node: Valkey) -> Iterator[None]:
        """A server stands still; afterwards all agree again."""
        node.pause()
        try:
            yield
        finally:
            node.resume()
            self.await_whole()

    @contextlib.contextmanager
    def dropped(self, node: Valkey, slot: int) -> Iterator[None]:
        """A server has a slot no more, and nobody else has it."""
        with contextlib.closing(node.client()) as client:
            _cluster(client, "DELSLOTS", slot)
            try:
                yield
            finally:
                _cluster(client, "ADDSLOTS", slot)

    def await_sent_on(self, node: Valkey) -> None:
        """Wait until a server has sent somebody on, because a slot is being moved."""
        with contextlib.closing(node.client()) as client:
            self._await(lambda: _sent_on(client))

    def await_blocked(self, node: Valkey) -> None:
        """Wait until somebody waits for a list."""
        with contextlib.closing(node.client()) as client:
            self._await(lambda: client.info("clients")["blocked_clients"])

    def set_slot(self, node: Valkey, slot: int, *words: object) -> None:
        """Tell one server what is the matter with a slot."""
        with contextlib.closing(node.client()) as client:
            _cluster(client, "SETSLOT", slot, *words)

    def id_of(self, node: Valkey) -> str:
        """A server's name in the cluster."""
        with contextlib.closing(node.client()) as client:
            return str(_cluster(client, "MYID"))

    def add(self) -> Valkey:
        """One more master, without slots."""
        node = self._start_one()
        self._meet()
        self._await(lambda: self._knows_all(node))
        self.await_whole()
        return node

    def move(self, slot: int, to: Valkey, *, asked: bool = False) -> None:
        """Move a slot with its keys, as the usual tools do.

        Args:
            slot: which.
            to: who gets it.
            asked: half of the keys stay until somebody has asked for them, and was sent after the others.
        """
        source = self._at(self._owner_port(slot))
        with contextlib.closing(source.client()) as old, contextlib.closing(to.client()) as new:
            ids = {client: _cluster(client, "MYID") for client in (old, new)}
            _cluster(new, "SETSLOT", slot, "IMPORTING", ids[old])
            _cluster(old, "SETSLOT", slot, "MIGRATING", ids[new])
            keys = _cluster(old, "GETKEYSINSLOT", slot, 100_000)
            half = len(keys) // 2
            _migrate(old, to, keys[:half])
            sent = _sent_on(old)
            self._await(lambda: not asked or _sent_on(old) > sent)
            _migrate(old, to, keys[half:])
            for client in (new, old):
                _cluster(client, "SETSLOT", slot, "NODE", ids[new])
            for client in self.clients():
                with contextlib.suppress(redis.ResponseError):
                    _cluster(client, "SETSLOT", slot, "NODE", ids[new])
        # Replicas hear of it from others.
        self._await(lambda: all(_owner_port(client, slot) == self._port_of(to) for client in self.clients()))

    def announce(self, ports: Sequence[int]) -> None:
        """Every server says that it is at another port, where something stands in front of it; tests still find it."""
        for node, port in zip(self.nodes, ports, strict=True):
            node.says("CONFIG", "SET", "cluster-announce-port", port)
            self._announced[port] = node
        self._await(lambda: all(self._owner_ports(client) == {*ports} for client in self.clients()))

    def fail_over(self, master: Valkey) -> None:
        """A replica takes over while the master stays, without an agreement: what it has not got is lost."""
        replica = self.replica_of(master)
        with contextlib.closing(replica.client()) as client:
            _cluster(client, "FAILOVER", "FORCE")
        self._await(lambda: self._is_master(replica))

    def replica_of(self, master: Valkey) -> Valkey:
        """A server that follows a master."""
        for node in self.nodes:
            if node.alive:
                with contextlib.closing(node.client()) as client:
                    found: Any = client.info("replication")
                    if found["role"] == "slave" and int(found["master_port"]) == master.tcp_port:
                        return node
        raise AssertionError(f"Expected a replica of {master.tcp_port}, got none")

    def await_whole(self) -> None:
        """Wait until everybody agrees that all slots are served."""
        self._await(lambda: all(_state(client) == "ok" for client in self.clients()))

    # --- forming ------------------------------------------------------------------------------------------------------

    def _start_one(self) -> Valkey:
        node = Valkey(tcp=True, cluster=True)
        self._bus_ports[node.tcp_port] = free_port()
        self._stack.callback(node.close)
        node.command += ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
        node.command += ["--cluster-config-file", str(node.directory / "nodes.conf"), "--repl-diskless-sync-delay", "0"]
        node.command += ["--cluster-port", str(self._bus_ports[node.tcp_port]), *self._options]
        node.start()
        self.nodes.append(node)
        return node

    def _form(self, masters: int) -> None:
        share = SLOTS / masters
        for number, node in enumerate(self.nodes):
            with contextlib.closing(node.client()) as client:
                _cluster(client, "SET-CONFIG-EPOCH", number + 1)
                if number < masters:
                    _cluster(client, "ADDSLOTSRANGE", round(number * share), round((number + 1) * share) - 1)
        self._meet()
        self._await(lambda: all(self._knows_all(node) for node in self.nodes))
        for number, node in enumerate(self.nodes[masters:]):
            with contextlib.closing(self.nodes[number % masters].client()) as client:
                master_id = _cluster(client, "MYID")
            with contextlib.closing(node.client()) as client:
                _cluster(client, "REPLICATE", master_id)
                self._await(lambda client=client: client.info("replication").get("master_link_status") == "up")  # type: ignore[misc]
        self.await_whole()

    def _meet(self) -> None:
        with contextlib.closing(self.nodes[0].client()) as client:
            for node in self.nodes[1:]:
                _cluster(client, "MEET", "127.0.0.1", node.tcp_port, self._bus_ports[node.tcp_port])

    def _knows_all(self, node: Valkey) -> bool:
        with contextlib.closing(node.client()) as client:
            lines = str(_cluster(client, "NODES")).splitlines()
        running = sum(each.alive for each in self.nodes)
        return sum("connected" in line.split() for line in lines) >= running and "handshake" not in "".join(lines)

    def _is_master(self, node: Valkey) -> bool:
        with contextlib.closing(node.client()) as client:
            return bool(client.info("replication")["role"] == "master")

    def _owner_port(self, slot: int) -> int:
        for client in self.clients():
            if port := _owner_port(client, slot):
                return port
        raise AssertionError(f"Expected somebody to have slot {slot}, got nobody")

    def _owner_ports(self, client: redis.Redis) -> set[int]:
        return {int(master[1]) for _, _, master, *_ in _cluster(client, "SLOTS")}

    def _port_of(self, node: Valkey) -> int:
        return next((port for port, announced in self._announced.items() if announced is node), node.tcp_port)

    def _at(self, port: int) -> Valkey:
        return self._announced.get(port) or next(node for node in self.nodes if node.tcp_port == port)

    def _await(self, found: Callable[[], object]) -> None:
        end_s = time.monotonic() + _WITHIN_S
        while not found():
            if time.monotonic() > end_s:
                raise AssertionError("Expected the cluster to agree, got no agreement")
            time.sleep(0.02)


def index_of(team: str) -> str:
    """The hash tag of the index that a team is in."""
    return Partition(number_of(team, PARTITIONS), PARTITIONS).tag


def _cluster(client: redis.Redis, *words: object) -> Any:
    return client.execute_command("CLUSTER", *words)  # type: ignore[no-untyped-call]


def _owner_port(client: redis.Redis, slot: int) -> int:
    """Where a server believes a slot to be; 0: nowhere."""
    ranges = _cluster(client, "SLOTS")
    return next((int(master[1]) for first, last, master, *_ in ranges if first <= slot <= last), 0)


def _migrate(source: redis.Redis, to: Valkey, keys: list[str]) -> None:
    if keys:
        source.migrate("127.0.0.1", to.tcp_port, keys, 0, 5_000)


def _sent_on(client: redis.Redis) -> int:
    """How many times a server has answered that a key may be where its slot is moved to."""
    return int(client.info("errorstats").get("errorstat_ASK", {"count": 0})["count"])


def _state(client: redis.Redis) -> str:
    lines = str(_cluster(client, "INFO"))
    return "ok" if "cluster_state:ok" in lines else "fail"
