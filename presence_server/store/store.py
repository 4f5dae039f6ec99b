"""Typed operations on the presence of teams.

What is asked for in one turn of the event loop, by however many connections, travels in one pipeline; joins, renewals
and leaves of one team even share script calls. While Redis is out of reach these requests wait. Reads, sweeps and
repairs go past the queue, since they are what brings it back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import orjson

from presence_server.core.roster import Mark
from presence_server.settings import Settings
from presence_server.store import scripts
from presence_server.store.direct import Direct, ago_ms
from presence_server.store.link import Command, Link, OutOfReach, Refused
from presence_server.store.queue import BULK_SCRIPTS, Call, Pace, Queue, fail
from presence_server.store.scripts import Script
from presence_server.store.types import Lost, Reply

REFUSED: Final = "Expected Redis to carry this out, got a refusal; see the server's log"

# The place in an entry of the instant of input, by this worker's clock: told to Redis as "so long ago".
_INSTANT: Final = {scripts.JOIN: 3, scripts.RENEW: 3, scripts.CHOOSE: 2}


logger: Final = logging.getLogger(__name__)


class Store(Direct):
    """All operations: those of `Direct`, and the requests that are batched, and wait for Redis if need be.

    Args:
        link, settings, worker, known, observe: as for `Direct`.
        on_down: is called once when Redis went out of reach; nothing that waits is sent until `resume`.

    Attributes:
        open: whether requests are being sent; False while Redis is out of reach.
    """

    def __init__(
        self,
        link: Link,
        settings: Settings,
        worker: str,
        *,
        known: Callable[[str], Mark],
        observe: Callable[[str, Reply, Mark], None],
        on_down: Callable[[str], None],
    ) -> None:
        super().__init__(link, settings, worker, known, observe)
        self._on_down = on_down
        self._queue = Queue(time.monotonic)
        self._pace = Pace(time.monotonic)
        self._first: list[tuple[Command, asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.open = False

    # --- requests, batched ------------------------------------------------------------------------------------------

    def join(
        self, team: str, user: str, session: str, connections: int, active_s: float, issued_at_s: float
    ) -> asyncio.Future[tuple[Reply, str | None]]:
        """Bring a session's connections in; gives the reply and the chosen status, None when refused (section 4).

        Args:
            team: the team's id.
            user: the user's id.
            session: the session's key.
            connections: how many connections of the session are open on this worker.
            active_s: when the user was last active, by `time.monotonic`.
            issued_at_s: the token's `iat`, 0 for none.
        """
        return self._ask(scripts.JOIN, team, (user, session, connections, active_s, int(issued_at_s)), patient=False)

    def renew(
        self, team: str, user: str, session: str, connections: int, active_s: float | None
    ) -> asyncio.Future[str | None]:
        """Renew a lease; gives None, or why it is gone: `expired` or `signed_out`. Cancelled when Redis goes away.

        Args as for `join`; `active_s` is None when there is no news of activity.
        """
        if not self.open:
            renewed: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
            renewed.cancel()
            return renewed
        return self._ask(scripts.RENEW, team, (user, session, connections, active_s))

    def leave(self, team: str, user: str, session: str, connections_left: int) -> asyncio.Future[Reply]:
        """Connections of a session ended without logout; with none left the rest is grace (rule 6)."""
        return self._ask(scripts.LEAVE, team, (user, session, connections_left))

    def choose(self, team: str, user: str, status: str, *, by_admin: bool) -> asyncio.Future[Reply]:
        """Set a chosen status (rules 2, 3 and 5)."""
        entry = (user, status, time.monotonic(), by_admin)
        return self._ask(scripts.CHOOSE, team, entry, patient=False, key=(team, user, by_admin))

    def sign_out(
        self, team: str, user: str, session: str, *, refuse_ms: int, by_admin: bool = False, patient: bool = True
    ) -> asyncio.Future[Reply]:
        """End a session in a team, or with an empty `session` all of the user's, and refuse it for `refuse_ms`."""
        return self._ask(scripts.SIGN_OUT, team, (user, session, refuse_ms, by_admin), patient=patient)

    def configure(self, team: str, idle_timeout_ms: int) -> asyncio.Future[Reply]:
        """Set a team's idle timeout."""
        return self._ask(scripts.CONFIGURE, team, (idle_timeout_ms,), patient=False)

    def is_signed_out(self, user: str, session: str) -> asyncio.Future[int]:
        """Tell whether a session is signed out for good: 1 or 0."""
        return self._send_first(("EXISTS", self.keys.signed_out(user, session)))

    def refuse_session(self, user: str, session: str) -> asyncio.Future[Any]:
        """Refuse a session everywhere from now on."""
        return self._send_first(("SET", self.keys.signed_out(user, session), "1", "PX", self._settings.remember_ms))

    def tell_workers(self, message: Any) -> asyncio.Future[Any]:
        """Publish on the channel that every worker listens to."""
        return self._send_first(("PUBLISH", self.keys.control, orjson.dumps(message)))

    def _tell_index(self, command: Command) -> None:
        self._send_first(command)

    def _send_first(self, command: Command) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._first.append((command, future))
        self._wake.set()
        self._idle.clear()
        return future

    def _ask(self, script: Script, team: str, entry: tuple[Any, ...], **how: Any) -> asyncio.Future[Any]:
        future = self._queue.ask(script, team, entry, **how)
        self._wake.set()
        self._idle.clear()
        return future

    # --- sending ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is asked for, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            # The rest of this loop turn's requests come in before the batch is cut.
            await asyncio.sleep(0)
            while self.open and (self._queue or self._first):
                await self._pace.wait(full=self._queue.full)
                first, self._first = self._first, []
                calls = self._queue.take()
                try:
                    await self._send(first, calls)
                except OutOfReach as exc:
                    self._first = first + self._first
                    self._give_back(calls)
                    self.down(str(exc))
            if not (self._queue or self._first):
                self._idle.set()

    def resume(self) -> None:
        """Redis is back, and all that must come first has been done: send what has waited."""
        self.open = True
        self._wake.set()

    def down(self, why: str) -> None:
        """Stop sending: Redis is out of reach."""
        if self.open:
            self.open = False
            self._index.forget()
            # Leases are restated from scratch once Redis is back; renewals would only pile up meanwhile.
            self._queue.cancel(scripts.RENEW)
            self._on_down(why)

    def housekeep(self) -> None:
        """Answer what has waited too long, and forget what is of no use any more."""
        self._queue.expire()
        self._first = [(command, future) for command, future in self._first if not future.cancelled()]
        self._index.forget_past(self.now_ms())

    def forget(self, team: str) -> None:
        """This worker has nothing to do with the team any more."""
        self._timeouts.pop(team, None)

    async def flush(self) -> None:
        """Wait until nothing waits to be sent or answered; for ever while Redis is out of reach."""
        await self._idle.wait()

    async def _send(self, first: list[tuple[Command, asyncio.Future[Any]]], calls: list[Call]) -> None:
        commands: list[Command] = [command for command, _ in first]
        places: list[int] = []
        marks: list[Mark] = []
        now_s = time.monotonic()
        for call in calls:
            if (entry := self._index.entry(call.team, self._due_ms(call, now_s), self.now_ms())) is not None:
                commands.append(entry)
            places.append(len(commands))
            marks.append(self._known(call.team))
            commands.append(self._command(call.script, call.team, _inputs(call, now_s)))
        replies = await self._link.execute_each(commands)
        for (_, future), found in zip(first, replies, strict=False):
            if isinstance(found, Refused):
                logger.error("Redis refused: %s", found)
                fail(future, REFUSED)
            elif not future.done():
                future.set_result(found)
        lost = []
        for call, place, mark in zip(calls, places, marks, strict=True):
            if isinstance(replies[place], Refused):
                logger.error("Redis refused %s of team %s: %s", call.script.name, call.team, replies[place])
                call.fail(REFUSED)
                continue
            try:
                reply = self._reply(call.team, replies[place], mark)
            except Lost as exc:
                logger.warning("%s", exc)
                lost.append(call)
            else:
                call.answer(_results(call, reply))
        if lost:
            self._give_back(lost)
            self.down("Redis has lost data")

    def _give_back(self, calls: list[Call]) -> None:
        for call in calls:
            if call.script is scripts.RENEW:
                call.cancel()
        self._queue.give_back(call for call in calls if call.script is not scripts.RENEW)

    def _due_ms(self, call: Call, now_s: float) -> int:
        """The earliest deadline that a call may set, as far as can be told before it is made."""
        settings = self._settings
        soonest_ms = settings.lease_ttl_ms if call.script is scripts.RENEW else settings.disconnect_grace_ms
        if call.script in (scripts.CONFIGURE, scripts.SIGN_OUT):
            soonest_ms = 0
        at = _INSTANT.get(call.script)
        news = [] if at is None else [inputs[at] for inputs in call.inputs if inputs[at] is not None]
        if news:
            idle_ms = max(ago_ms(instant_s, now_s) for instant_s in news)
            soonest_ms = min(soonest_ms, max(0, self._timeouts.get(call.team, 0) - idle_ms))
        return self.now_ms() + min(soonest_ms, settings.lease_ttl_ms)


def _inputs(call: Call, now_s: float) -> Sequence[Any]:
    at = _INSTANT.get(call.script)
    entries: list[Any] = call.inputs
    if at is not None:
        for i, entry in enumerate(entries):
            told_ms = -1 if entry[at] is None else ago_ms(entry[at], now_s)
            entries[i] = (*entry[:at], told_ms, *entry[at + 1 :])
    return entries if call.script in BULK_SCRIPTS else entries[0]


def _results(call: Call, reply: Reply) -> Iterable[Any]:
    if call.script is scripts.JOIN:
        return [(reply, chosen or None) for chosen in reply.body["joined"]]
    if call.script is scripts.RENEW:
        gone = dict(reply.body.get("gone", ()))
        return [gone.get(i) for i in range(len(call.entries))]
    return [reply] * len(call.entries)
