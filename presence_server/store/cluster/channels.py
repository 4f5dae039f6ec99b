"""The channels that are heard at one node, over one connection.

redis-py's own cluster subscriptions reconnect behind the reader's back, so that what was missed goes unnoticed; here a
break is told, and so is each channel that the node gives up because its slot has moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from redis import exceptions
from redis.asyncio import Connection

from presence_server.store import tasks
from presence_server.store.connect import OUT_OF_REACH, TIMEOUT_S
from presence_server.store.link import OutOfReach

_AT_ONCE: Final = 500


class _Expected(NamedTuple):
    kind: bytes
    channel: bytes
    answered: asyncio.Future[Exception | None]


class Channels:
    """One connection to one node, in the state of a subscriber.

    Args:
        connection: not connected yet.
        on_message: is given a channel, and what was published on it.
        on_gone: is given a channel that the node has given up.
        on_broken: is called once when the connection broke.

    Attributes:
        heard: the channels that the node tells, as it has said last.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        on_message: Callable[[bytes, bytes], None],
        on_gone: Callable[[bytes], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._on_message = on_message
        self._on_gone = on_gone
        self._on_broken = on_broken
        self.heard: set[bytes] = set()
        self._expected: deque[_Expected] = deque()
        self._reader: asyncio.Task[None] | None = None
        self._ended = False
        self._why = "the subscription is broken"

    async def open(self) -> None:
        """Connect.

        Raises:
            OutOfReach: the node is.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._connection.connect()  # type: ignore[no-untyped-call]
        except OUT_OF_REACH as exc:
            self._ended = True
            await self._disconnect()
            raise OutOfReach(str(exc) or type(exc).__name__) from exc
        self._reader = asyncio.create_task(self._read())

    async def ask(self, verb: str, channels: Sequence[str]) -> list[Exception | None]:
        """Subscribe or unsubscribe, one command for each channel, and wait for the answers.

        Args:
            verb: `SUBSCRIBE`, `SSUBSCRIBE` or `SUNSUBSCRIBE`.
            channels: which.

        Returns:
            for each channel why not; None where it was done, which `heard` tells to last.

        Raises:
            OutOfReach: the connection broke, or is silent.
        """
        answers: list[asyncio.Future[Exception | None]] = []
        for at in range(0, len(channels), _AT_ONCE):
            answers += await self._send(verb, channels[at : at + _AT_ONCE])
        for answer in answers:
            # Each of them, since very many take longer than one answer may.
            if not answer.done() and not (await asyncio.wait([answer], timeout=TIMEOUT_S))[0]:
                self.end("a subscription was not answered")
        if self._ended:
            raise OutOfReach(self._why)
        return [answer.result() for answer in answers]

    def end(self, why: str) -> None:
        """Give the connection up, and say so."""
        if not self._ended:
            self._ended, self._why = True, why
            while self._expected:
                self._expected.popleft().answered.set_result(None)
            if self._reader is not None and self._reader is not asyncio.current_task():
                self._reader.cancel()
            self._on_broken(why)

    async def close(self) -> None:
        """End without another word."""
        self._ended = True
        if self._reader is not None:
            await tasks.end([self._reader])
        await self._disconnect()

    async def _send(self, verb: str, channels: Sequence[str]) -> list[asyncio.Future[Exception | None]]:
        if self._ended:
            raise OutOfReach("the subscription is broken")
        loop = asyncio.get_running_loop()
        expected = [_Expected(verb.lower().encode(), channel.encode(), loop.create_future()) for channel in channels]
        self._expected += expected
        packed = self._connection.pack_commands([(verb, channel) for channel in channels])
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._connection.send_packed_command(packed, check_health=False)
        except OUT_OF_REACH as exc:
            self.end(str(exc) or type(exc).__name__)
            raise OutOfReach(str(exc) or type(exc).__name__) from exc
        return [each.answered for each in expected]

    async def _read(self) -> None:
        try:
            while True:
                try:
                    reply = await self._connection.read_response(timeout=math.inf)
                except exceptions.ResponseError as exc:
                    # Of the oldest command that has not been answered.
                    if not self._expected:
                        raise
                    self._expected.popleft().answered.set_result(exc)
                else:
                    self._take(reply)
        except OUT_OF_REACH as exc:
            self.end(str(exc) or type(exc).__name__)
        finally:
            await self._disconnect()

    def _take(self, reply: Any) -> None:
        kind, channel, data = reply
        if kind in (b"smessage", b"message"):
            self._on_message(channel, data)
            return
        if kind == b"sunsubscribe":
            self.heard.discard(channel)
        else:
            self.heard.add(channel)
        if self._expected and self._expected[0][:2] == (kind, channel):
            self._expected.popleft().answered.set_result(None)
        elif kind == b"sunsubscribe":
            self._on_gone(channel)

    async def _disconnect(self) -> None:
        with contextlib.suppress(*OUT_OF_REACH):
            await self._connection.disconnect(nowait=True)
