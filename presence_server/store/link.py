"""Commands to Redis in pipelines, and whether Redis is within reach."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from redis import exceptions
from redis.asyncio import Redis

from presence_server.store import scripts
from presence_server.store.scripts import Script

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
# The same, where redis-py has no class for it: too few replicas, a disk that cannot be written, a script that hangs.
_NOT_NOW_CODES: Final = ("NOREPLICAS", "MISCONF", "BUSY")

# What is raised, rather than found among the replies, has to do with the connection itself: no server, no answer, no
# access, no such database, or something that is no Redis at all.
OUT_OF_REACH: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.InvalidResponse,
    exceptions.ResponseError,
    OSError,
)

# Pipelines under way at once: each has a connection of its own.
_AT_ONCE: Final = 8


class OutOfReach(Exception):
    """Redis did not answer, or cannot serve now; whether the commands were carried out is unknown."""


class Refused(Exception):
    """Redis would not do what was asked: a wrong type under a key, a missing permission, a fault in a script."""


class Link:
    """Runs commands, a pipeline at a time.

    Attributes:
        calls: how many commands were sent.
        failures: how many pipelines failed.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.calls = 0
        self.failures = 0

    async def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one pipeline and return their replies, in order.

        Raises:
            OutOfReach: Redis is; any of the commands may or may not have been carried out.
            Refused: Redis would not carry one of them out.
        """
        replies = await self.execute_each(commands)
        for reply in replies:
            if isinstance(reply, Refused):
                raise reply
        return replies

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        """Like `execute`, but with a `Refused` in the place of the reply to each command that was refused."""
        replies = await self._pipeline(commands)
        missing = [i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
        if missing:
            await self._pipeline([("SCRIPT", "LOAD", script.source) for script in scripts.ALL])
            again = await self._pipeline([commands[i] for i in missing])
            for i, reply in zip(missing, again, strict=True):
                replies[i] = reply
        for i, reply in enumerate(replies):
            if _is_not_now(reply):
                self.failures += 1
                raise OutOfReach(str(reply)) from reply
            if isinstance(reply, Exception):
                replies[i] = Refused(str(reply))
        return replies

    async def _pipeline(self, commands: Sequence[Command]) -> list[Any]:
        self.calls += len(commands)
        try:
            async with self._slots, self._client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                return list(await pipeline.execute(raise_on_error=False))
        except OUT_OF_REACH as exc:
            self.failures += 1
            raise OutOfReach(str(exc) or type(exc).__name__) from exc

    async def reset(self) -> None:
        """Let the next pipelines make new connections: a failover may have left a server that only refuses."""
        with contextlib.suppress(*OUT_OF_REACH):
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close the connections to Redis."""
        with contextlib.suppress(*OUT_OF_REACH):
            await self._client.aclose()


def _is_not_now(reply: Any) -> bool:
    return isinstance(reply, _NOT_NOW) or (
        isinstance(reply, exceptions.ResponseError) and str(reply).partition(" ")[0] in _NOT_NOW_CODES
    )


def evaluate(script: Script, key: str, *arguments: Any) -> Command:
    """The command that runs a script on one slot."""
    return ("EVALSHA", script.sha, 1, key, *arguments)
