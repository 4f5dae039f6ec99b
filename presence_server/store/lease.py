"""A worker's one lease: the name it goes by in Redis, until when its word lasts, and the numbers of its writes.

Nothing is ever renewed user by user. Whoever lapses is buried by the others, and goes on under another name.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

# A worker stops writing so long before its lease ends: what it sends then would arrive too late.
MARGIN_MS: Final = 250


class Lease:
    """What a worker is in Redis.

    Args:
        now_ms: Redis's clock, as far as known.
        name: the first name; a random one by default.

    Attributes:
        name: under which it is on record and holds.
        until_ms: the end of the lease by Redis's clock, as the last beat was answered; 0 before the first.
        recorded: the last number that the index has acknowledged.
        lapses: how often it has had to take another name.
    """

    def __init__(self, now_ms: Callable[[], int], name: str | None = None) -> None:
        self._now_ms = now_ms
        self._number = 0
        self._confirmed = asyncio.Event()
        self._given = name
        self.lapses = -1
        self.rename()

    def rename(self) -> None:
        """Go on as somebody else: the index does not know this name any more."""
        self.lapses += 1
        given, self._given = self._given, None
        self.name = given if given is not None else secrets.token_hex(6)
        self.until_ms = 0
        self.recorded = 0
        self._confirmed.clear()

    @property
    def is_new(self) -> bool:
        """Whether the index has never been told of this name."""
        return self.until_ms == 0

    def number(self) -> int:
        """The next number for a write; they only rise, under whatever name."""
        self._number += 1
        return self._number

    def renewed(self, until_ms: int) -> None:
        """A beat was answered."""
        self.until_ms = until_ms
        self._confirmed.set()

    def doubted(self) -> None:
        """A team found it over: nothing is written before the next beat is answered."""
        self._confirmed.clear()

    @property
    def lasts(self) -> bool:
        """Whether what is written now arrives in time."""
        return self._confirmed.is_set() and self._now_ms() < self.until_ms - MARGIN_MS

    async def confirmed(self) -> None:
        """Wait until the index has said that this worker is alive, under whatever name."""
        while not self.lasts:
            self._confirmed.clear()
            await self._confirmed.wait()
