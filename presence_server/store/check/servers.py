"""Reading from whichever server serves a key, for `presence-server check --deep`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Self, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from presence_server.address import Address
from presence_server.errors import Unavailable
from presence_server.store.check.survey import Survey
from presence_server.store.connect import open_client
from presence_server.store.link import Command

# Keys that a server looks at before it answers; so no one call keeps it busy.
_SCAN_COUNT: Final = 500

Routed: TypeAlias = tuple[str, Command]
"""A key, and a command to send to whoever serves it."""


class Servers:
    """All masters there are; an asynchronous context.

    Args:
        survey: which they are.

    Attributes:
        refused: keys that could not be read, and why: something else is stored there.
    """

    def __init__(self, survey: Survey) -> None:
        self.refused: dict[str, str] = {}
        self._survey = survey
        self._clients: dict[Address, Redis] = {}

    async def __aenter__(self) -> Self:
        self._clients = {master: open_client(master) for master in self._survey.masters}
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def scan(self, pattern: str) -> AsyncIterator[list[str]]:
        """All keys that fit a pattern, some at a time; a key may come twice.

        Raises:
            Unavailable: a server does not answer, or will not.
        """
        for client in self._clients.values():
            cursor = -1
            while cursor:
                try:
                    cursor, found = await client.scan(max(cursor, 0), pattern, _SCAN_COUNT)
                except (RedisError, OSError) as error:
                    raise Unavailable(f"Expected Redis to list its keys, got: {error}") from error
                if found:
                    keys: list[Any] = found
                    yield [key.decode(errors="replace") for key in keys]

    async def read(self, commands: Sequence[Routed]) -> list[Any]:
        """Send commands, one pipeline to each server, and return the replies in their order; None for what is refused.

        Raises:
            Unavailable: a server does not answer, or will not.
        """
        places: dict[Address, list[int]] = {}
        for place, (key, _) in enumerate(commands):
            owner = self._survey.owner_of(key)
            if owner is None:
                raise Unavailable(f"Expected a server for the slot of {key!r}, got none")
            places.setdefault(owner, []).append(place)
        replies: list[Any] = [None] * len(commands)
        for owner, mine in places.items():
            pipeline = self._clients[owner].pipeline(transaction=False)
            for place in mine:
                pipeline.execute_command(*commands[place][1])
            try:
                found = await pipeline.execute(raise_on_error=False)
            except (RedisError, OSError) as error:
                raise Unavailable(f"Expected Redis to be read, got: {error}") from error
            for place, reply in zip(mine, found, strict=True):
                if isinstance(reply, NoPermissionError):
                    raise Unavailable(f"Expected to be allowed to read Redis, got: {reply}") from reply
                if isinstance(reply, Exception):
                    self.refused[commands[place][0]] = str(reply)
                else:
                    replies[place] = reply
        return replies
