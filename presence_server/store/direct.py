"""Operations that go to Redis at once: reads, sweeps, and the repairs that bring waiting requests back.

Also what all operations have in common: how a script is called, and what its reply means.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import orjson

from presence_server.core.roster import Change, Entry, Mark
from presence_server.core.status import OFFLINE, UserDetail, next_change
from presence_server.settings import Settings
from presence_server.store import scripts
from presence_server.store.index import DueIndex
from presence_server.store.keys import Keys
from presence_server.store.link import Command, Link, evaluate
from presence_server.store.queue import BULK
from presence_server.store.scripts import Script
from presence_server.store.types import Claim, Lost, Page, Reply, Swept

# How long an offline user stays among a team's changes, so that views that were away can be continued with a delta.
RETAIN_MS: Final = 3_600_000
PAGE: Final = 500
# A version that no team reaches: reading what changed after it reads nothing but where the team stands.
NEVER: Final = 2**53
SWEPT_AT_ONCE: Final = 50
CLAIMED_AT_ONCE: Final = 100
# A sweeper that dies leaves its teams to others after so long.
CLAIM_MS: Final = 1_000
# Everybody sweeps twice a second; an interval of this length without any is one in which nobody could.
GAP_MS: Final = 2_000


class Direct(ABC):
    """The operations that do not wait.

    Args:
        link: where commands go.
        settings: leases, grace and timeouts.
        worker: this worker's id; leases carry it.
        known: tells the mark of this worker's roster of a team, `NO_MARK` when it has none.
        observe: is told every reply, with the mark that was known when the call was sent.

    Attributes:
        keys: the names of keys.
        gap: the last interval in which nobody swept, by Redis's clock.
        changes_published: how many changes this worker's calls have made.
    """

    def __init__(
        self,
        link: Link,
        settings: Settings,
        worker: str,
        known: Callable[[str], Mark],
        observe: Callable[[str, Reply, Mark], None],
    ) -> None:
        self.keys = Keys(settings.key_prefix)
        self.gap = (0, 0)
        self.changes_published = 0
        self._link = link
        self._settings = settings
        self._worker = worker
        self._known = known
        self._observe = observe
        self._index = DueIndex(self.keys.due)
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

    def now_ms(self) -> int:
        """Redis's clock, as far as known: never ahead of it by more than the clocks' drift since the last reply."""
        return int(time.monotonic() * 1000 + self._ahead_ms)

    # --- how a script is called ------------------------------------------------------------------------------------

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
            self._tell_index(self._index.command(team, int(look)))
        reply = Reply(_mark(body), body["idle_ms"], body["now"], body)
        self._observe(team, reply, known)
        return reply

    @abstractmethod
    def _tell_index(self, command: Command) -> None:
        """Send a command to the index with the next pipeline."""

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

    # --- reads, sweeps, repairs --------------------------------------------------------------------------------------

    async def changes(self, team: str, since: int) -> Page:
        """Read one page of what changed after a version; 0 reads everybody."""
        body = orjson.loads((await self._link.execute([self._command(scripts.CHANGES, team, [since, PAGE])]))[0])
        self._timeouts[team] = body["idle_ms"]
        changes = [Change(*change) for change in body.get("changes", ())]
        return Page(changes, _mark(body), body["floor"], body["idle_ms"], body["more"])

    async def details(self, team: str, users: Sequence[str]) -> tuple[Mark, int, dict[str, UserDetail]]:
        """Read all about some users: the team's mark, its idle timeout, and the details by user."""
        if not users:
            page = await self.changes(team, NEVER)
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
        rows = [(*entry[:3], ago_ms(entry[3], now_s), entry[4]) for entry in entries]
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


def ago_ms(instant_s: float, now_s: float) -> int:
    return max(0, int((now_s - instant_s) * 1000))


def _mark(body: dict[str, Any]) -> Mark:
    return Mark(body.get("epoch") or "", int(body["version"]), body["tip"])


def _detail(user: str, entry: Any) -> UserDetail:
    if not entry:
        return UserDetail(user, OFFLINE)
    status, since, reason, chosen, active, connections, held_until, idle_at = entry
    change, change_at = next_change(
        status, idle_at_ms=int(idle_at), open_connections=connections, held_until_ms=int(held_until)
    )
    return UserDetail(
        user, status, int(since) or None, reason or None, chosen, int(active) or None, connections, change, change_at
    )
