"""Commands to Redis in pipelines, over a few connections, and whether Redis is within reach."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from redis import exceptions
from redis.asyncio import Connection, ConnectionPool

from presence_server.store.connect import OUT_OF_REACH, TIMEOUT_S
from presence_server.store.scripts import Script, Scripts

Command: TypeAlias = tuple[Any, ...]

# Redis answers, but cannot do what was asked: as good as out of reach, and worth trying again.
_NOT_NOW: Final = (
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.MasterDownError,
    exceptions.OutOfMemoryError,
)
# The same, where redis-py has no class for it: too few replicas, a disk that cannot be written, a script that hangs. An
# older Redis wraps the refusal of a command within a script, so it is looked for anywhere in the text.
_NOT_NOW_CODES: Final = ("NOREPLICAS", "MISCONF", "BUSY", "READONLY", "OOM", "LOADING", "MASTERDOWN")

# Strings read by one command.
_KEYS_AT_ONCE: Final = 200
# Pipelines under way at once: each has a connection of its own.
AT_ONCE: Final = 8
# After a further connection could not be had, the ones there are shared for so long.
_SHORT_S: Final = 1.0


class OutOfReach(Exception):
    """Redis did not answer, or cannot serve now; whether the commands were carried out is unknown."""


class Refused(Exception):
    """Redis would not do what was asked: a wrong type under a key, a missing permission, a fault in a script."""


class Unreached(Refused):
    """One team's slot is out of reach, and its partition's index is not: whether it was carried out is unknown."""


class Moving(Unreached):
    """One team's slot is being moved to another node: it was not carried out, and can be in a moment."""


class Executor(Protocol):
    """Runs commands for one partition."""

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands at once and return their replies, in order.

        Raises:
            OutOfReach: Redis is; any of the commands may or may not have been carried out.
            Refused: Redis would not carry one of them out.
        """

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        """Like `execute`, but with a `Refused` in the place of the reply to each command that was refused."""

    async def get_each(self, keys: Sequence[str]) -> list[Any]:
        """Read strings, in as few commands as may be; a `Refused` in the place of what could not be read.

        Raises:
            OutOfReach: Redis is.
        """

    async def reset(self) -> None:
        """Let the next commands make new connections."""

    async def close(self) -> None:
        """Close the connections to Redis."""


class Link:
    """Runs commands, a pipeline at a time.

    One more connection that cannot be had (a limit of descriptors, or of Redis's clients) is no outage: those there are
    go on, and are shared.

    Args:
        pool: makes connections.
        scripts: those that commands may name.
        clock: a monotonic clock, seconds.

    Attributes:
        calls: how many commands were sent.
        failures: how many pipelines failed.
    """

    def __init__(self, pool: ConnectionPool, scripts: Scripts, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._scripts = scripts
        self._clock = clock
        self._free: list[Connection] = []
        self._open = 0
        self._resets = 0
        self._short_until_s = 0.0
        self._changed = asyncio.Condition()
        self.calls = 0
        self.failures = 0

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline and return their replies, in order.

        Raises:
            OutOfReach: Redis is; any of the commands may or may not have been carried out.
            Refused: Redis would not carry one of them out.
        """
        return none_refused(await self.execute_each(commands))

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        """Like `execute`, but with a `Refused` in the place of the reply to each command that was refused."""
        replies = await self.exchange(commands)
        for i, reply in enumerate(replies):
            if is_not_now(reply):
                self.failures += 1
                raise OutOfReach(str(reply)) from reply
            if isinstance(reply, Exception):
                replies[i] = Refused(str(reply))
        return replies

    async def get_each(self, keys: Sequence[str]) -> list[Any]:
        """Read strings, one plain command for many.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        commands = [("MGET", *keys[at : at + _KEYS_AT_ONCE]) for at in range(0, len(keys), _KEYS_AT_ONCE)]
        return [raw for reply in await self.execute(commands) for raw in reply] if commands else []

    async def reset(self) -> None:
        """Let the next pipelines make new connections: a failover may have left a server that only refuses."""
        self._resets += 1
        free, self._free = self._free, []
        for connection in free:
            await self._give_up(connection)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self.reset()

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline and return their replies as they are, errors in their places.

        Scripts that Redis does not have are loaded, and those commands sent again.

        Raises:
            OutOfReach: Redis is; any of the commands may or may not have been carried out.
        """
        replies = await self._pipeline(commands)
        missing = [i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
        if missing:
            await self._pipeline([("SCRIPT", "LOAD", script.source) for script in self._scripts.all()])
            again = await self._pipeline([commands[i] for i in missing])
            for i, reply in zip(missing, again, strict=True):
                replies[i] = reply
        return replies

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        self.calls += len(commands)
        resets = self._resets
        try:
            connection = await self._acquire()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    replies = await _exchange(connection, commands)
            except BaseException:
                await self._give_up(connection)
                raise
        except OUT_OF_REACH as exc:
            self.failures += 1
            raise OutOfReach(str(exc) or type(exc).__name__) from exc
        if self._resets != resets:
            await self._give_up(connection)
            return replies
        self._free.append(connection)
        async with self._changed:
            self._changed.notify()
        return replies

    # --- connections ------------------------------------------------------------------------------------------------

    async def _acquire(self) -> Connection:
        while True:
            if self._free:
                return self._free.pop()
            if self._open < AT_ONCE and (self._open == 0 or self._clock() >= self._short_until_s):
                try:
                    return await self._connect()
                except OUT_OF_REACH:
                    if self._open == 0:
                        raise
                    self._short_until_s = self._clock() + _SHORT_S
            async with self._changed:
                if not self._free and self._open:
                    await self._changed.wait()

    async def _connect(self) -> Connection:
        connection: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        self._open += 1
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await self._give_up(connection)
            raise
        return connection

    async def _give_up(self, connection: Connection) -> None:
        self._open -= 1
        with contextlib.suppress(*OUT_OF_REACH):
            await connection.disconnect(nowait=True)
        async with self._changed:
            self._changed.notify_all()


async def _exchange(connection: Connection, commands: Sequence[Command]) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    replies: list[Any] = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except exceptions.ResponseError as exc:
            replies.append(exc)
    return replies


def none_refused(replies: list[Any]) -> list[Any]:
    """The same replies.

    Raises:
        Refused: one of them is that.
    """
    for reply in replies:
        if isinstance(reply, Refused):
            raise reply
    return replies


def is_not_now(reply: Any) -> bool:
    """Whether a reply says that Redis cannot do it now, and may later."""
    return isinstance(reply, _NOT_NOW) or (
        isinstance(reply, exceptions.ResponseError)
        and any(word.removeprefix("-") in _NOT_NOW_CODES for word in str(reply).split())
    )


def evaluate(script: Script, key: str, *arguments: Any) -> Command:
    """The command that runs a script on one slot."""
    return ("EVALSHA", script.sha, 1, key, *arguments)
