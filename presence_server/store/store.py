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

from presence_server.core.roster import Change, Entry, Mark
from presence_server.core.status import UserDetail, next_change
from presence_server.settings import Settings
from presence_server.store import scripts
from presence_server.store.index import DueIndex
from presence_server.store.keys import Keys
from presence_server.store.link import Command, Link, OutOfReach, Refused, evaluate
from presence_server.store.queue import BULK, BULK_SCRIPTS, PIPELINE, Call, Pace, Queue
from presence_server.store.scripts import Script
from presence_server.store.types import Claim, Lost, Page, Reply, Swept

# How long an offline user stays among a team's changes, so that views that were away can be continued with a delta.
RETAIN_MS: Final = 3_600_000
PAGE: Final = 500
SWEPT_AT_ONCE: Final = 50
CLAIMED_AT_ONCE: Final = 100
# A sweeper that dies leaves its teams to others after so long.
CLAIM_MS: Final = 1_000
# Everybody sweeps twice a second; an interval of this length without any is one in which nobody could.
GAP_MS: Final = 2_000

# The place in an entry of the instant of input, by this worker's clock: told to Redis as "so long ago".
_INSTANT: Final = {scripts.JOIN: 3, scripts.RENEW: 3, scripts.CHOOSE: 2}


logger: Final = logging.getLogger(__name__)


class Store:
    """The operations.

    Args:
        link: where commands go.
        settings: leases, grace and timeouts.
        worker: this worker's id; leases carry it.
        known: tells the mark of this worker's roster of a team, `NO_MARK` when it has none.
        observe: is told every reply, with the mark that was known when the call was sent.
        on_down: is called once when Redis went out of reach; nothing that waits is sent until `resume`.

    Attributes:
        keys: the names of keys.
        gap: the last interval in which nobody swept, by Redis's clock.
        open: whether requests are being sent; False while Redis is out of reach.
        changes_published: how many changes this worker's calls have made.
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
        self.keys = Keys(settings.key_prefix)
        self.gap = (0, 0)
        self.changes_published = 0
        self._link = link
        self._settings = settings
        self._worker = worker
        self._known = known
        self._observe = observe
        self._on_down = on_down
        self._index = DueIndex(self.keys.due)
        self._queue = Queue(time.monotonic)
        self._pace = Pace(time.monotonic)
        self._first: list[tuple[Command, asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.open = False
        self._words = 0
        self._ahead_ms = 0.0
        self._timeouts: dict[str, int] = {}
        self._common = orjson.dumps(
            {
                "lease_ms": settings.lease_ttl_ms,
                "grace_ms": settings.disconnect_grace_ms,
                "remember_ms": settings.remember_ms,
                "idle_ms": settings.idle_timeout_ms,
                "retain_ms": RETAIN_MS,
                "worker": worker,
                "publish": "PUBLISH",
            }
        )[:-1]

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
                await self._pace.wait(full=len(self._queue) >= PIPELINE)
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

    def now_ms(self) -> int:
        """Redis's clock, as far as known: never ahead of it by more than the clocks' drift since the last reply."""
        return int(time.monotonic() * 1000 + self._ahead_ms)

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
            if not future.done():
                future.set_result(found)
        for call, place, mark in zip(calls, places, marks, strict=True):
            if isinstance(replies[place], Refused):
                logger.error("Redis refused %s of team %s: %s", call.script.name, call.team, replies[place])
                call.fail("Expected Redis to carry this out, got a refusal; see the server's log")
                continue
            try:
                reply = self._reply(call.team, replies[place], mark)
            except Lost as exc:
                self._give_back([call])
                self.down(str(exc))
            else:
                call.answer(_results(call, reply))

    def _give_back(self, calls: list[Call]) -> None:
        for call in calls:
            if call.script is scripts.RENEW:
                # Leases are restated from scratch once Redis is back.
                for requests in call.waiting:
                    for request in requests:
                        request.future.cancel()
        self._queue.give_back(call for call in calls if call.script is not scripts.RENEW)

    def _due_ms(self, call: Call, now_s: float) -> int:
        """The earliest deadline that a call may set, as far as can be told before it is made."""
        settings = self._settings
        soonest_ms = settings.lease_ttl_ms if call.script is scripts.RENEW else settings.disconnect_grace_ms
        if call.script in (scripts.CONFIGURE, scripts.SIGN_OUT):
            soonest_ms = 0
        at = _INSTANT.get(call.script)
        news = [] if at is None else [entry[at] for entry in call.inputs if entry[at] is not None]
        if news:
            idle_ms = max(_ago_ms(instant_s, now_s) for instant_s in news)
            soonest_ms = min(soonest_ms, max(0, self._timeouts.get(call.team, 0) - idle_ms))
        return self.now_ms() + min(soonest_ms, settings.lease_ttl_ms)

    def _command(self, script: Script, team: str, inputs: Any) -> Command:
        self._words += 1
        config = b'%b,"word":"%b%x","known":"%b","gap_from":%d,"gap_until":%d}' % (
            self._common,
            self._worker.encode(),
            self._words,
            self._known(team).epoch.encode(),
            *self.gap,
        )
        return evaluate(script, self.keys.team(team), config, orjson.dumps(inputs))

    def _reply(self, team: str, raw: bytes, known: Mark) -> Reply:
        body = orjson.loads(raw)
        if body.get("lost"):
            raise Lost(f"Expected team '{team}' in Redis, got nothing: it has lost its data")
        self.changes_published += body.get("changed", 0)
        self._timeouts[team] = body["idle_ms"]
        if look := body["look"]:
            self._send_first(self._index.command(team, int(look)))
        reply = Reply(_mark(body), body["idle_ms"], body["now"], body)
        self._observe(team, reply, known)
        return reply

    # --- at once, past the queue ------------------------------------------------------------------------------------

    async def _call(self, script: Script, team: str, inputs: Any, *, index_first: bool = False) -> Reply:
        """Run one script now.

        Raises:
            OutOfReach: Redis is.
            Lost: the team's data is gone.
        """
        mark = self._known(team)
        commands = [self._command(script, team, inputs)]
        if index_first and (entry := self._index.entry(team, self.now_ms(), self.now_ms())) is not None:
            commands.insert(0, entry)
        return self._reply(team, (await self._link.execute(commands))[-1], mark)

    async def changes(self, team: str, since: int) -> Page:
        """Read one page of what changed after a version; 0 reads everybody."""
        body = orjson.loads((await self._link.execute([self._command(scripts.CHANGES, team, [since, PAGE])]))[0])
        self._timeouts[team] = body["idle_ms"]
        changes = [Change(*change) for change in body.get("changes", ())]
        return Page(changes, _mark(body), body["floor"], body["idle_ms"], body["more"])

    async def details(self, team: str, users: Sequence[str]) -> tuple[Mark, int, dict[str, UserDetail]]:
        """Read all about some users: the team's mark, its idle timeout, and the details by user."""
        if not users:
            page = await self.changes(team, 2**53)
            return page.mark, page.idle_timeout_ms, {}
        parts = [list(users[at : at + BULK]) for at in range(0, len(users), BULK)]
        replies = await self._link.execute([self._command(scripts.DETAIL, team, part) for part in parts])
        bodies = [orjson.loads(reply) for reply in replies]
        found = {
            user: _detail(user, entry)
            for part, body in zip(parts, bodies, strict=True)
            for user, entry in zip(part, body["users"], strict=True)
        }
        # The first part's mark: what the others may know beyond it does no harm.
        return _mark(bodies[0]), bodies[0]["idle_ms"], found

    async def sweep(self, team: str) -> Swept:
        """Bring the users whose deadline has come into line with the rule."""
        body = (await self._call(scripts.SWEEP, team, [SWEPT_AT_ONCE])).body
        deadline_ms = int(body["deadline"]) if body["deadline"] else None
        return Swept(body["changed"], int(body["lag_ms"]), int(body["seen"]), body["more"], deadline_ms, body["now"])

    async def rejoin(self, team: str, entries: Sequence[tuple[str, str, int, float, int]]) -> list[int | None]:
        """Restate up to `BULK` leases at once; gives for each the team's version, or None when refused.

        Args:
            team: the team's id.
            entries: user, session, connections, active_s and issued_at_s of each, as for `join`.
        """
        now_s = time.monotonic()
        rows = [(*entry[:3], _ago_ms(entry[3], now_s), entry[4]) for entry in entries]
        reply = await self._call(scripts.JOIN, team, rows, index_first=True)
        return [reply.mark.version if chosen else None for chosen in reply.body["joined"]]

    async def settle(self, team: str, cursor: int) -> int | None:
        """Bring some users into line after the settings changed; returns where to go on, None at the end."""
        reply = await self._call(scripts.SETTLE, team, [cursor, SWEPT_AT_ONCE], index_first=True)
        return reply.body["cursor"] or None

    async def restore(
        self, team: str, users: Iterable[tuple[str, Entry]], seen_version: int, idle_timeout_ms: int
    ) -> Reply:
        """Write a part of a roster back into a Redis that lost it (see restore.lua)."""
        rows = [[user, entry.status, entry.since, entry.reason, entry.chosen] for user, entry in users]
        timeout_ms = 0 if idle_timeout_ms == self._settings.idle_timeout_ms else idle_timeout_ms
        return await self._call(scripts.RESTORE, team, [rows, seen_version, timeout_ms], index_first=True)

    async def new_epoch(self, team: str, epoch: str, seen_version: int) -> Reply:
        """Replace an epoch whose history has forked from what this worker has seen."""
        return await self._call(scripts.NEW_EPOCH, team, [epoch, seen_version])

    async def claim(self, *, teams: int = CLAIMED_AT_ONCE, restoring: bool = False) -> Claim:
        """Claim teams that are due, and learn what the workers must agree on: clock, gap and birth of the data.

        Args:
            teams: how many at most.
            restoring: tell the others that this worker is writing its rosters back.
        """
        self._words += 1
        command = evaluate(
            scripts.CLAIM,
            self.keys.due,
            f"{self._worker}{self._words:x}",
            teams,
            CLAIM_MS,
            GAP_MS,
            self._settings.remember_ms + self._settings.lease_ttl_ms,
            self._worker,
            int(restoring),
            self._settings.lease_ttl_ms,
        )
        body = orjson.loads((await self._link.execute([command]))[0])
        self._ahead_ms = body["now"] - time.monotonic() * 1000
        self.gap = (int(body["gap_from"]), int(body["gap_until"]))
        return Claim(
            tuple(body.get("teams", ())),
            body["claimed_until"],
            body["now"],
            self.gap,
            body["born"],
            int(body["born_at"]),
            body["restoring"],
        )

    async def reschedule(self, team: str, claimed_until: int, due_ms: int | None) -> None:
        """After a sweep, say when the team must be looked at next; None for never."""
        due = "" if due_ms is None else due_ms
        await self._link.execute([evaluate(scripts.RESCHEDULE, self.keys.due, team, claimed_until, due)])

    async def reconnect(self) -> None:
        """Use new connections from now on."""
        await self._link.reset()

    async def uptime_s(self) -> int:
        """How long Redis has been running, seconds."""
        info = (await self._link.execute([("INFO", "server")]))[0]
        return int(info["uptime_in_seconds"])


def _ago_ms(instant_s: float, now_s: float) -> int:
    return max(0, int((now_s - instant_s) * 1000))


def _inputs(call: Call, now_s: float) -> Sequence[Any]:
    at = _INSTANT.get(call.script)
    entries: list[Any] = list(call.inputs)
    if at is not None:
        for i, entry in enumerate(entries):
            ago_ms = -1 if entry[at] is None else _ago_ms(entry[at], now_s)
            entries[i] = (*entry[:at], ago_ms, *entry[at + 1 :])
    return entries if call.script in BULK_SCRIPTS else entries[0]


def _results(call: Call, reply: Reply) -> Iterable[Any]:
    if call.script is scripts.JOIN:
        return [(reply, chosen or None) for chosen in reply.body["joined"]]
    if call.script is scripts.RENEW:
        gone = dict(reply.body.get("gone", ()))
        return [gone.get(i) for i in range(len(call.inputs))]
    return [reply] * len(call.inputs)


def _mark(body: dict[str, Any]) -> Mark:
    return Mark(body.get("epoch") or "", int(body["version"]), body["tip"])


def _detail(user: str, entry: Any) -> UserDetail:
    if not entry:
        return UserDetail(user, "offline")
    status, since, reason, chosen, active, connections, held_until, idle_at = entry
    change, change_at = next_change(
        status, idle_at_ms=int(idle_at), open_connections=connections, held_until_ms=int(held_until)
    )
    return UserDetail(
        user, status, int(since) or None, reason or None, chosen, int(active) or None, connections, change, change_at
    )
