"""A simulated tab: it stays connected as the contract asks of a browser, and does what the schedule says."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

import websockets

from reliability.line import Line
from reliability.oracle.record import End, Message, Transcript
from reliability.people import People, Session
from tests.support.timing import now_ms
from tests.support.tokens import SECRET, mint

_HANDSHAKE_S: Final = 3.0
# hello may wait ten seconds for Redis.
_WELCOME_S: Final = 13.0
# A link on which a heartbeat stays unanswered for so long is taken for dead.
_DEAD_S: Final = 3.0
_BACKOFF_S: Final = 0.2
_BACKOFF_MAX_S: Final = 1.0
# Tokens outlive any run, by a clock that is an hour off, too.
_TOKEN_S: Final = 4 * 3600.0


class Tab:
    """One tab of a user's browser, open or closed.

    Args:
        people: where its transcripts go.
        session: the sign-in that it shares with the other tabs of the browser.
        name: tells it from all others.
        seed: of its jitter.
    """

    def __init__(self, people: People, session: Session, name: str, seed: int) -> None:
        self._people, self._session, self._name = people, session, name
        self._random = random.Random(seed)
        self._line: Line | None = None
        self._task: asyncio.Task[None] | None = None
        self._old: list[Line] = []
        self._connection_id: str | None = None
        self._last: Transcript | None = None
        self._points: dict[str, dict[str, object]] = {}
        self._watched: dict[str, list[str]] = {}
        self._active_ms = now_ms()
        self._works_until_ms = 0
        self._idle_ms = 60_000
        self._heartbeat_ms = people.bounds.heartbeat
        self._unanswered: dict[int, int] = {}
        self._awake = asyncio.Event()
        self._welcomed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._task is not None and not self._task.done()

    # --- what people do -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open it, signed in as the browser is; the person has just clicked."""
        if not self.is_open:
            self._touch()
            self._session.renew_if_over()
            self._task = asyncio.create_task(self._live())

    async def close(self) -> None:
        """Close it without signing out; the view is gone with it."""
        stopped, line = self._stop(), self._line
        # At once: it may be opened again before the old connection has ended.
        self._line, self._last, self._points, self._watched = None, None, {}, {}
        if line is not None:
            line.over(End.LEFT)
        await stopped
        if line is not None:
            await self._shut(line)

    async def reload(self) -> None:
        """Close it and open it at once."""
        if self.is_open:
            await self.close()
            self.open()

    async def drop(self) -> None:
        """Lose the connection; both ends are told."""
        if self._line is not None:
            self._line.over(End.LEFT)
            self._line.connection.transport.abort()
            self._awake.set()

    async def switch(self) -> None:
        """Change networks: the old connection is left half open, nobody is told."""
        line = self._line
        if line is not None and not line.is_over:
            line.freeze()
            line.over(End.HALF_OPEN)
            self._old.append(line)
            self._awake.set()

    async def work(self, for_ms: int) -> None:
        """Input goes on for so long."""
        was_idle = self._idle() > self._heartbeat_ms
        self._works_until_ms = max(self._works_until_ms, now_ms() + for_ms)
        if was_idle:
            self._awake.set()

    async def choose(self, status: str, team: str | None) -> None:
        """Choose a status, in one team or in all."""
        if (line := self._ready()) is not None:
            # The click is input like any other, in the teams that are not meant as well.
            was_idle = self._idle() > self._heartbeat_ms
            self._touch()
            fields = {} if team is None else {"team": team}
            await line.ask("set_status", status=status, **fields)
            if was_idle:
                self._awake.set()

    async def sign_out(self) -> None:
        """Sign out: every tab of this browser."""
        if (line := self._ready()) is not None:
            self._session.over = True
            await line.say("logout")
            line.over(End.SIGNED_OUT)
            self._awake.set()

    async def renew(self) -> None:
        if (line := self._ready()) is not None:
            await line.ask("renew", token=self._token(line.transcript.session))

    async def watch(self, team: str, users: list[str] | None) -> None:
        """Look at some users alone; None: at all again."""
        if (line := self._ready()) is not None and team in self._session.teams:
            # What it shows until the snapshot comes cannot be continued from.
            line.points.pop(team, None)
            if users is None:
                self._watched.pop(team, None)
            else:
                self._watched[team] = users
            await line.ask("watch", team=team, users="all" if users is None else users)

    async def look_away(self, for_s: float) -> None:
        """Stop reading for so long."""
        line = self._ready()
        if line is not None:
            line.look_away(True)
            await asyncio.sleep(for_s)
            self._unanswered.clear()
            line.look_away(False)

    def check(self) -> None:
        """Raise what went wrong in the simulation itself."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def end(self) -> None:
        """The run is over: nothing of it is left."""
        await self._stop()
        for line in [*self._old, *([self._line] if self._line else [])]:
            line.look_away(False)
            line.connection.transport.abort()
            await asyncio.wait({line.reader}, timeout=1)

    # --- how it stays connected ---------------------------------------------------------------------------------------

    async def _live(self) -> None:
        failures = 0
        while True:
            if await self._connect():
                failures = 0
                await self._converse()
            else:
                failures += 1
            last = self._last
            if last is not None and (last.end is End.SIGNED_OUT or 4500 <= (last.code or 0) <= 4999):
                return
            if last is None or last.end is not End.HALF_OPEN:
                await asyncio.sleep(self._random.uniform(0, min(_BACKOFF_MAX_S, _BACKOFF_S * 2**failures)))

    async def _connect(self) -> bool:
        """Open a connection and wait until it is welcome."""
        self._welcomed.clear()
        try:
            line = await Line.open(self._people.url, name=self._name, open_timeout=_HANDSHAKE_S)
        except (OSError, TimeoutError, websockets.WebSocketException):
            return False
        self._line = line
        line.attach(self._people.transcript(self._session, self._last), self._hear)
        line.points = dict(self._points)
        self._last = line.transcript
        self._people.lines[line.port] = line.transcript
        self._unanswered.clear()
        hello: dict[str, Any] = {"token": self._token(self._session.id), "idle_ms": self._idle()}
        hello |= {"resume": self._points} if self._points else {}
        hello |= {"watch": self._watched} if self._watched else {}
        hello |= {"replaces": self._connection_id} if self._connection_id else {}
        await line.say("hello", **hello)
        waiting = asyncio.create_task(self._welcomed.wait())
        await asyncio.wait({waiting, line.reader}, timeout=_WELCOME_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self._welcomed.is_set():
            line.over(End.LOST if line.close_code else End.LEFT, line.close_code)
            line.connection.transport.abort()
        return self._welcomed.is_set()

    async def _converse(self) -> None:
        """Beat until the connection is over."""
        line = self._line
        assert line is not None
        while not line.is_over:
            self._awake.clear()
            await self._beat(line)
            awake = asyncio.create_task(self._awake.wait())
            await asyncio.wait({awake, line.reader}, timeout=self._pause_s(), return_when=asyncio.FIRST_COMPLETED)
            awake.cancel()
            if line.reader.done():
                line.over(End.LOST, line.close_code)
            oldest = min(self._unanswered.values(), default=now_ms())
            if not line.looks_away and now_ms() - oldest > _DEAD_S * 1000:
                line.over(End.LEFT)
                line.connection.transport.abort()
        self._points = {team: dict(point) for team, point in line.points.items()}

    async def _beat(self, line: Line) -> None:
        identity = await line.ask("heartbeat", idle_ms=self._idle())
        self._unanswered[identity] = now_ms()

    def _pause_s(self) -> float:
        works = self._works_until_ms > now_ms()
        return min(self._heartbeat_ms, self._idle_ms // 3 if works else self._heartbeat_ms) / 1000

    def _idle(self) -> int:
        """How long ago there was input last; while he works, there is."""
        self._active_ms = max(self._active_ms, min(now_ms(), self._works_until_ms))
        return now_ms() - self._active_ms

    def _touch(self) -> None:
        self._active_ms = now_ms()

    def _hear(self, message: Message) -> None:
        kind = message["type"]
        if kind == "ack":
            self._unanswered.pop(message["id"], None)
        elif kind == "welcome":
            self._connection_id, self._heartbeat_ms = message["connection"], message["heartbeat_ms"]
            self._welcomed.set()
        elif kind == "self":
            self._idle_ms = min(self._idle_ms, message["idle_timeout_ms"])

    def _ready(self) -> Line | None:
        line = self._line
        return line if line is not None and not line.is_over and self._welcomed.is_set() else None

    def _token(self, session: str) -> str:
        return mint(self._session.user, self._session.teams, sid=session, secret=SECRET, ttl_s=_TOKEN_S)

    def _stop(self) -> asyncio.Future[list[BaseException | None]]:
        """Let nothing more be done of itself; what is returned is done when that is so."""
        tasks = [] if self._task is None else [self._task]
        self._task = None
        for task in tasks:
            task.cancel()
        return asyncio.gather(*tasks, return_exceptions=True)

    async def _shut(self, line: Line) -> None:
        try:
            async with asyncio.timeout(1):
                await line.leave()
        except TimeoutError:
            line.connection.transport.abort()
