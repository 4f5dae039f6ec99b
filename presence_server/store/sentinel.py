"""Connections to the master that Sentinels name.

redis-py's own asks one Sentinel after the other, each for as long as a connection may take; it believes the first that
answers, and whatever is at the address; and what is connected stays so, wherever the master went. Here all are asked at
once, most of them win, and what is there must say that it is a master.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from redis.asyncio import Connection, ConnectionPool, SSLConnection
from redis.exceptions import ConnectionError, RedisError

from presence_server.address import Node
from presence_server.store import tasks

# A Sentinel turns a former master that comes back into a replica, and cuts off its clients, after ten seconds or so: it
# would take writes for so long that nobody else sees.
WATCH_INTERVAL_S: Final = 2.0

FAULTS: Final = (RedisError, OSError, RuntimeError)
"""Whatever keeps a server from answering; see `connect.OUT_OF_REACH`."""


class Answer(NamedTuple):
    """What one Sentinel says.

    Attributes:
        master: where the master is.
        epoch: the number of the failover that put it there; a newer one has a higher number.
    """

    master: Node
    epoch: int


class Sentinels:
    """Those that know where the master of a service is.

    Args:
        nodes: where they listen.
        service: by which name they know it.
        tls: whether they are connected to by TLS.
        limit_s: how long all of them together may take to answer.
        options: of connections to them, as redis-py has them.
    """

    def __init__(
        self, nodes: tuple[Node, ...], service: str, *, tls: bool, limit_s: float, options: dict[str, Any]
    ) -> None:
        self.nodes = nodes
        self.service = service
        self._connection_class = SSLConnection if tls else Connection
        self._limit_s = limit_s
        self._options = options

    async def masters(self) -> list[Node]:
        """Where the master may be, the likeliest first: what most say, and of these what is newest.

        Raises:
            redis.exceptions.ConnectionError: none of them knows.
        """
        answers, faults = await self._ask_all()
        if not answers:
            raise ConnectionError(f"Expected a Sentinel that knows {self.service!r}, got {'; '.join(faults)}")
        votes = Counter(answer.master for answer in answers)
        epochs = {answer.master: answer.epoch for answer in sorted(answers, key=lambda answer: answer.epoch)}
        return sorted(votes, key=lambda node: (votes[node], epochs[node]), reverse=True)

    async def agreed(self) -> Node | None:
        """Where more than half of them say that the master is; None if they do not agree, or do not answer."""
        answers, _ = await self._ask_all()
        return self._agreed(answers)

    async def ask(self, node: Node) -> Answer:
        """Ask one of them.

        Raises:
            redis.exceptions.RedisError, OSError, RuntimeError: it does not answer, or does not know.
        """
        connection = self._connection_class(host=node.host, port=node.port, **self._options)
        try:
            async with asyncio.timeout(self._limit_s):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SENTINEL", "MASTER", self.service)
                flat = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        try:
            told = dict(zip(flat[::2], flat[1::2], strict=True))
            return Answer(Node(told[b"ip"].decode(), int(told[b"port"])), int(told[b"config-epoch"]))
        except (LookupError, TypeError, ValueError, AttributeError):
            raise ConnectionError("Expected where the master is, got something else; is it a Sentinel?") from None

    async def _ask_all(self) -> tuple[list[Answer], list[str]]:
        """What they say, and why the others do not; those that are slow are not waited for once most agree."""
        asking = [asyncio.create_task(self._ask_or_tell(node)) for node in self.nodes]
        answers: list[Answer] = []
        faults: list[str] = []
        try:
            for next_one in asyncio.as_completed(asking):
                found = await next_one
                if isinstance(found, str):
                    faults.append(found)
                    continue
                answers.append(found)
                if self._agreed(answers) is not None:
                    break
        finally:
            await tasks.end(asking)
        return answers, faults

    async def _ask_or_tell(self, node: Node) -> Answer | str:
        try:
            return await self.ask(node)
        except FAULTS as exc:
            return f"{node}: {told(exc)}"

    def _agreed(self, answers: Iterable[Answer]) -> Node | None:
        votes = Counter(answer.master for answer in answers)
        return next((node for node, count in votes.items() if 2 * count > len(self.nodes)), None)


class MasterConnection(Connection):
    """A connection to the master; looks up where that is whenever it connects.

    Args:
        sentinels: those to ask.
        made: a set to which it adds itself.
        limit_s: how long connecting may take, with asking.
        options: as redis-py has them.
    """

    def __init__(
        self, *, sentinels: Sentinels, made: weakref.WeakSet[MasterConnection], limit_s: float, **options: Any
    ) -> None:
        super().__init__(**options)
        self._sentinels = sentinels
        self._limit_s = limit_s
        made.add(self)

    @property
    def node(self) -> Node:
        """Where it is connected to, or was."""
        return Node(self.host, self.port)

    async def connect(self) -> None:
        """Connect, to what says that it is a master.

        Raises:
            redis.exceptions.ConnectionError: there is none.
        """
        if self.is_connected:
            return
        clock = asyncio.get_running_loop().time
        until_s = clock() + self._limit_s
        nodes = await self._sentinels.masters()
        faults: list[str] = []
        for left, node in zip(range(len(nodes), 0, -1), nodes, strict=True):
            self.host, self.port = node
            try:
                async with asyncio.timeout((until_s - clock()) / left):
                    await super().connect()  # type: ignore[no-untyped-call]
                return
            except FAULTS as exc:
                await self.disconnect(nowait=True)
                faults.append(f"{node}: {told(exc)}")
        raise ConnectionError(f"Expected a master of {self._sentinels.service!r}, got {'; '.join(faults)}")

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Greet what is there, and see whether it is a master; before anything else, such as subscribing."""
        await super().on_connect_check_health(check_health)
        await self.send_command("ROLE", check_health=False)
        role = (await self.read_response())[0].decode()
        if role != "master":
            raise ConnectionError(f"Expected a master, got a {'replica' if role == 'slave' else role}")


class MasterSSLConnection(MasterConnection, SSLConnection):
    """The same by TLS."""


class MasterPool(ConnectionPool):
    """Makes connections to the master.

    Args:
        sentinels: those that know where it is.
        tls: whether it is connected to by TLS.
        limit_s: how long connecting may take, with asking.
        options: of connections and of the pool, as redis-py has them.

    Attributes:
        made: the connections that were made and are still held by somebody.
    """

    def __init__(self, sentinels: Sentinels, *, tls: bool, limit_s: float, **options: Any) -> None:
        self.sentinels = sentinels
        self.made: weakref.WeakSet[MasterConnection] = weakref.WeakSet()
        super().__init__(
            connection_class=MasterSSLConnection if tls else MasterConnection,
            sentinels=sentinels,
            made=self.made,
            limit_s=limit_s,
            **options,
        )


def told(fault: BaseException) -> str:
    """What a fault says, or that nothing came, which says nothing."""
    return str(fault) or ("no answer in time" if isinstance(fault, TimeoutError) else type(fault).__name__)


async def watch(pools: Iterable[ConnectionPool], on_moved: Callable[[str], None]) -> None:
    """Look every two seconds whether connections are where the master is, until cancelled.

    Without this, one to a former master that came back before anybody missed it would go on there, with its
    subscription, and hear nothing of what others do.

    Args:
        pools: that made the connections; of one without Sentinels there is nothing to see.
        on_moved: is told why connections have to be made anew.
    """
    watched = [pool for pool in pools if isinstance(pool, MasterPool)]
    while watched:
        await asyncio.sleep(WATCH_INTERVAL_S)
        master = await watched[0].sentinels.agreed()
        made = [connection for pool in watched for connection in pool.made if connection.is_connected]
        left = [connection.node for connection in made if master is not None and connection.node != master]
        if left:
            on_moved(f"the master is at {master}, and no longer at {left[0]}")
