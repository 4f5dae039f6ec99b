"""The demo's simulated teammates: clients of this very server, each with his own day.

They connect over the public WebSocket like anybody, choose, fall idle, come back, sign out and in again. Where several
workers share a machine, one of them runs all teammates: whoever holds the lock in the data folder. If it is killed,
another takes over, within the grace.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from presence_server.settings import Settings
from presence_server.web.auth import mint
from presence_server.web.demo import PEOPLE, SEATS, TEAM

_logger = logging.getLogger(__name__)

LOCK: Final = "teammates.lock"
"""Name of the file in the data folder."""

_TOKEN_TTL_S: Final = 24 * 3600
_RETRY_S: Final = 1.0
# Longer than any timeout that the demo offers.
_LONG_IDLE_MS: Final = 3_600_000
# Lower than the shortest timeout that the demo offers asks for.
_BEAT_S: Final = 1.5


class Step(NamedTuple):
    """A stretch of a teammate's day.

    Attributes:
        does: `online` or `busy`, chosen and then used; `idle`, nothing is touched; `away`, signed out.
        lasts_s: from and to, seconds.
    """

    does: str
    lasts_s: tuple[float, float]


DAYS: Final[dict[str, tuple[Step, ...]]] = {
    "ana": (Step("online", (9, 14)), Step("busy", (8, 14))),
    "liam": (Step("busy", (5, 8)), Step("online", (12, 20))),
    "chloe": (Step("idle", (4, 6)), Step("online", (14, 20)), Step("busy", (8, 12)), Step("idle", (80, 90))),
    "kenji": (Step("away", (2, 3)), Step("online", (16, 24)), Step("away", (8, 14))),
    "noor": (Step("online", (3, 4)), Step("busy", (12, 18)), Step("online", (18, 26))),
    "tomas": (Step("idle", (12, 16)), Step("online", (10, 16)), Step("away", (10, 16)), Step("idle", (6, 10))),
}
"""Everybody's, over and over; the first steps are short, so that something happens from the first second."""

assert {*DAYS, *SEATS} == PEOPLE.keys()


class Teammate:
    """One of them.

    Args:
        user: his id.
        settings: with the port that the server listens on, and the secret.
        chance: where his durations come from.
    """

    def __init__(self, user: str, settings: Settings, chance: random.Random) -> None:
        self.user = user
        self._url = f"ws://{_reachable(settings.host)}:{settings.port}/v1/ws"
        self._secret = settings.jwt_secret
        self._chance = chance
        self._ids = 0
        self._day = itertools.cycle(DAYS[user])
        self._step = next(self._day)

    async def live(self) -> None:
        """Go through his days until cancelled; a server that is not there yet, or not any more, is waited for."""
        while True:
            if self._step.does == "away":
                await asyncio.sleep(self._duration())
                self._step = next(self._day)
            else:
                try:
                    async with connect(self._url, proxy=None, compression=None, open_timeout=5) as socket:
                        await self._work(socket)
                except (OSError, WebSocketException, TimeoutError) as error:
                    _logger.debug("%s lost his connection: %s", self.user, error)
                    await asyncio.sleep(_RETRY_S)

    async def _work(self, socket: ClientConnection) -> None:
        """Work with one connection until he signs out."""
        await self._hello(socket)
        reading = asyncio.ensure_future(_read(socket))
        try:
            while self._step.does != "away":
                await self._do(socket, reading)
                self._step = next(self._day)
            await _send(socket, {"type": "logout"})
            await asyncio.wait([reading], timeout=5)
        finally:
            reading.cancel()

    async def _do(self, socket: ClientConnection, reading: asyncio.Future[None]) -> None:
        idle = self._step.does == "idle"
        if not idle:
            self._ids += 1
            await _send(socket, {"type": "set_status", "id": self._ids, "status": self._step.does})
        now_s = asyncio.get_running_loop().time
        ends_s = now_s() + self._duration()
        while (left_s := ends_s - now_s()) > 0:
            done, _ = await asyncio.wait([reading], timeout=min(left_s, _BEAT_S))
            for ended in done:
                ended.result()
                raise ConnectionResetError("the server closed it")
            if not idle:
                await _send(socket, {"type": "heartbeat", "idle_ms": 0})

    async def _hello(self, socket: ClientConnection) -> None:
        assert self._secret is not None, "the demo has a secret of its own"
        session = secrets.token_hex(4)
        token = mint(self._secret, user=self.user, teams=[TEAM], session=session, ttl_s=_TOKEN_TTL_S)
        idle_ms = _LONG_IDLE_MS if self._step.does == "idle" else 0
        # He watches himself alone: what the others do is nothing to him.
        await _send(socket, {"type": "hello", "token": token, "idle_ms": idle_ms, "watch": {TEAM: [self.user]}})

    def _duration(self) -> float:
        return self._chance.uniform(*self._step.lasts_s)


@contextlib.asynccontextmanager
async def living(settings: Settings) -> AsyncIterator[None]:
    """Let all of them live meanwhile; see `simulate`."""
    task = asyncio.create_task(simulate(settings))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def simulate(settings: Settings) -> None:
    """Let all of them live until cancelled, as soon as no other worker of this machine does.

    Args:
        settings: with the port that the server listens on, a secret, and a data folder, which holds the lock.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock_file(settings.data_dir / LOCK) as lock:
        # The lock is the system's: there is nothing to be woken by.
        while not _take(lock):  # noqa: ASYNC110
            await asyncio.sleep(_RETRY_S)
        async with asyncio.TaskGroup() as group:
            for user in DAYS:
                group.create_task(Teammate(user, settings, random.Random()).live())


@contextlib.contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _read(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


async def _send(socket: ClientConnection, message: dict[str, object]) -> None:
    await socket.send(orjson.dumps(message).decode())


def _reachable(host: str) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{name}]" if ":" in name else name
