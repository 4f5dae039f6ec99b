"""Workers, people and faults on a real Valkey, by a clock of the test's own: what a schedule is carried out on.

The steps are those of a model of how workers and Redis agree on who is there. What must hold, whatever happens, is said
by `tests.schedules.oracle`.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Final

import redis

from presence_server.core.status import OFFLINE
from presence_server.settings import Settings
from presence_server.store.keys import Keys
from presence_server.store.scripts import Scripts
from presence_server.store.slots import Partition, number_of
from presence_server.store.types import Standing
from tests.schedules.line import Ear, Line
from tests.schedules.memory import Memory, recall, remember
from tests.schedules.node import Node
from tests.schedules.oracle import Oracle
from tests.schedules.outcome import Outcome
from tests.schedules.people import People
from tests.schedules.stored import Stored, read_standing, read_user
from tests.schedules.virtual import Time
from tests.schedules.wire import Request, Wire
from tests.support.valkey import Valkey

TICK_MS: Final = 1_000
LEASE_MS: Final = 6_000
LEASE_S: Final = LEASE_MS // 1000
GRACE_MS: Final = 3_000
IDLE_MS: Final = 100_000
# After so long a worker leaves a team that nobody of it is in any more.
LINGER_S: Final = 3

_CLOCK_KEY: Final = "clock-of-the-test"
_REDIS_TIME: Final = (
    f"(function() local t = redis.call('GET', '{_CLOCK_KEY}') return {{ math.floor(t / 1000), t % 1000 * 1000 }} end)()"
)
# What changes nothing.
_READS: Final = frozenset(
    {"changes", "details", "get", "mget", "zrange", "exists", "publish", "info", "script", "client"}
)


class World(People):
    """Carries out one schedule.

    Args:
        valkey: where all is kept.
        prefix: of its keys.
        idle_ms: the idle timeout.
        teams: of every connection.
        keep: remember what Valkey held before each of the last writes, so that they can be lost.
        partitions: how many there are; what is said of the index is said of that of the first team's.
    """

    def __init__(
        self,
        valkey: Valkey,
        prefix: str,
        *,
        idle_ms: int = IDLE_MS,
        teams: Sequence[str] = ("t",),
        keep: bool = False,
        partitions: int = 1,
    ) -> None:
        random.seed(0)
        self.time = Time()
        self.teams = tuple(teams)
        self.settings = Settings(
            redis_url="unix:",
            key_prefix=prefix,
            idle_timeout_ms=idle_ms,
            lease_ttl_ms=LEASE_MS,
            disconnect_grace_ms=GRACE_MS,
        )
        self.idle_ms, self.grace_ms = idle_ms, GRACE_MS
        self.partitions = partitions
        self.keys = Keys(prefix, 0, Partition(number_of(self.teams[0], partitions), partitions))
        self.client = redis.Redis(unix_socket_path=str(valkey.socket))
        self.nodes: dict[str, Node] = {}
        self.all_nodes: list[Node] = []
        self._valkey = valkey
        self._prefix = prefix
        self._keep = keep
        self._history: list[Memory] = []
        self._counter = itertools.count()
        self._directory = Path(tempfile.mkdtemp(prefix="world-"))
        self._names = self._load()
        self._ear = Ear(valkey.socket, prefix)
        self._line = Line(valkey.socket)
        self._told_ms = 0
        self.oracle = Oracle(self)
        self._set_time(self.time.now_ms)
        for slot in "ab":
            self.start(slot)
        self.tick(2)

    def _load(self) -> dict[str, str]:
        scripts = Scripts(self.settings, self.keys.feed_suffix, time=_REDIS_TIME).all()
        for script in scripts:
            self.client.script_load(script.source)
        return {script.sha: script.name for script in scripts}

    def close(self) -> None:
        """End everything; raises what a part of a worker failed with."""
        try:
            for node in self.all_nodes:
                node.close()
        finally:
            if keys := [*self.client.scan_iter(f"{self._prefix}:*", count=1000)]:
                self.client.delete(*keys)
            self._ear.close()
            self._line.close()
            self.client.close()
            rmtree(self._directory)

    def settle(self) -> None:
        """Nothing goes wrong any more: see that all comes right again."""
        Outcome(self).settle()

    # --- what stands in Redis -----------------------------------------------------------------------------------------

    def stored(self, team: str, user: str) -> Stored | None:
        """A user, as Redis has him."""
        return read_user(self.client, self.keys, team, user)

    def standing(self, team: str) -> Standing:
        """A team's mark, and the workers in it."""
        return read_standing(self.client, self.keys, team)

    def shown(self, user: str, team: str = "t") -> str:
        """What a user is shown as."""
        found = self.stored(team, user)
        return found.status if found else OFFLINE

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, times: int = 1) -> None:
        """Time passes, and every worker does what there is to do."""
        for _ in range(times):
            self.advance(TICK_MS)
            self.oracle.look()

    def jump(self, times: int = 1) -> None:
        """Time passes, and nobody gets to do anything."""
        self._set_time(self.time.now_ms + times * TICK_MS)

    def run(self, *slots: str) -> None:
        """Some workers do all they have to do."""
        self._quiet([self.nodes[slot] for slot in slots])

    def advance_only(self, slot: str, ms: int) -> None:
        """Let time pass, and one worker alone do what there is to do."""
        self.advance(ms, [self.nodes[slot]])

    def advance(self, ms: int, nodes: Sequence[Node] | None = None) -> None:
        """Let time pass, from one thing that is to be done to the next, for some workers or all."""
        end_ms = self.time.now_ms + ms
        while True:
            running = [node for node in (self.nodes.values() if nodes is None else nodes) if node.running]
            self._quiet(running)
            due_s = min((node.loop.next_ms() or float("inf") for node in running), default=float("inf"))
            if due_s * 1000 >= end_ms:
                break
            self._set_time(max(self.time.now_ms, int(due_s * 1000) + 1))
        self._set_time(end_ms)
        self._quiet(running)

    def _quiet(self, nodes: Sequence[Node]) -> None:
        # Each in its turn, and again for as long as one of them had something to do.
        while sum(node.run() for node in nodes if node.running):
            self.listen()
        self.listen()

    def _set_time(self, now_ms: int) -> None:
        self.time.now_ms = now_ms
        self._told_ms = 0

    # --- workers ------------------------------------------------------------------------------------------------------

    def start(self, slot: str) -> Node:
        """A worker starts, in the place of one that is gone."""
        wire = Wire(
            self._directory / f"{slot}{next(self._counter)}",
            self._valkey.socket,
            self._names,
            before=self._before,
            after=lambda request, replies: self.oracle.carried_out(node, request, replies),
            sync=self._sync,
        )
        node = self.nodes[slot] = Node(
            slot, self.settings, wire, self.time, _REDIS_TIME, self.oracle.active, self.partitions
        )
        self.all_nodes.append(node)
        return node

    def crash(self, slot: str) -> None:
        """A worker is gone, with all its connections."""
        node = self.nodes[slot]
        if node.crashed_ms is None:
            node.crashed_ms = self.time.now_ms
            node.wire.close()

    def stop(self, slot: str) -> None:
        """A worker stands still."""
        self.nodes[slot].stopped = True

    def cont(self, slot: str) -> None:
        """A worker that stood still goes on."""
        self.nodes[slot].stopped = False

    def drain(self, slot: str) -> None:
        """A worker closes all its connections."""
        node = self.nodes[slot]
        if node.running:
            for tab in node.tabs:
                if tab.open:
                    tab.holders = self.oracle.holders_of(tab)
            node.begin(node.worker.drain(0.0))

    # --- Valkey -------------------------------------------------------------------------------------------------------

    def down(self) -> None:
        """Redis goes out of reach."""
        for node in self.all_nodes:
            node.wire.down = True
            node.wire.cut()

    def cut_off(self, slot: str) -> None:
        """Redis is out of reach of one worker."""
        self.nodes[slot].wire.down = True
        self.nodes[slot].wire.cut()

    def up(self) -> None:
        """Redis is back."""
        for node in self.all_nodes:
            node.wire.down = node.crashed_ms is not None

    def remember(self) -> Memory:
        """All that Redis holds."""
        return remember(self.client, self._prefix)

    def forget(self, writes: int = 1, *, of: str = "", silent: bool = False) -> None:
        """Redis loses its last writes, in a failover.

        Args:
            writes: how many.
            of: the hash tag that alone loses them; empty for all.
            silent: nobody's connection breaks.
        """
        if self._history:
            memory = self._history[-min(writes, len(self._history))]
            if not of:
                del self._history[-min(writes, len(self._history)) :]
            self.restore(memory, of=of, silent=silent or bool(of))

    def restore(self, memory: Memory, *, of: str = "", silent: bool = False) -> None:
        """Redis is as it was, in a failover; see `forget`."""
        start = {"": f"{self._prefix}:", "due": self.keys.due}.get(of) or self.keys.team(of)
        recall(self.client, memory, start)
        self.oracle.rolled_back(of)
        if not silent:
            for node in self.all_nodes:
                node.wire.cut()

    def _before(self, request: Request) -> None:
        if self._told_ms != self.time.now_ms:
            self._told_ms = self.time.now_ms
            self._line.call(b"SET %b %d\r\n" % (_CLOCK_KEY.encode(), self._told_ms))
        self.oracle.about_to(request)
        if self._keep and any(command.operation not in _READS for command in request.commands):
            self._history.append(self.remember())
            del self._history[:-6]

    def _sync(self) -> None:
        self._line.call(b"PING\r\n")

    def listen(self) -> None:
        """Hear what was published."""
        for channel, message in self._ear.heard():
            self.oracle.heard(channel, message)

    @contextlib.contextmanager
    def deaf(self, slot: str) -> Iterator[None]:
        """What is published meanwhile is lost to a worker, and nobody notices."""
        self.nodes[slot].wire.deaf = True
        yield
        self.nodes[slot].wire.deaf = False
