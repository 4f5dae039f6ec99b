"""Changes of one team to the sockets of this worker: encoded once, coalesced, and never queued for the slow.

All sockets that keep up stand level, so a flush is one frame for all of them. Those that are blocked, or have just been
given a snapshot that is ahead of the next flush, stand apart, each at its own position, from which it is brought up to
date with the newest state of what changed since.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from presence_server.core import frames, messages
from presence_server.core.messages import Position
from presence_server.core.roster import Roster
from presence_server.core.status import OFFLINE
from presence_server.live.connection import Connection
from presence_server.live.counters import Counters

MAX_WINDOW_S: Final = 0.5
# The part of the loop's time that sending to one team may take before its window grows.
SHARE: Final = 0.045
# The same where each socket watches others: a longer window makes few of their frames into one.
WATCHERS_SHARE: Final = 0.5
# Sockets written to in one turn of the loop, about 5 ms; the others follow in the next turns.
SLICE: Final = 1_000
# Snapshots sent in one turn of the loop when everybody needs one.
SNAPSHOTS: Final = 50
# Users in one part of a snapshot: about 40 KB, less than a socket's buffer.
PART: Final = 500

_NOWHERE: Final = Position("", -1)


class FanOut:
    """The sockets of one team.

    Args:
        team: the team's id.
        roster: whose changes these are.
        coalesce_s: how long changes that follow one another are gathered at least.
        counters: where deliveries are counted.
        now_ms: Redis's clock.
    """

    def __init__(
        self, team: str, roster: Roster, coalesce_s: float, counters: Counters, now_ms: Callable[[], int]
    ) -> None:
        self._team = team
        self._roster = roster
        self._coalesce_s = coalesce_s
        self._counters = counters
        self._now_ms = now_ms
        # With each connection the function that writes to its transport: half of what sending takes in Python.
        self._level: dict[Connection, Callable[[bytes], None]] = {}
        self._level_at = _NOWHERE
        self._watching: dict[Connection, frozenset[str]] = {}
        self._watchers: dict[str, dict[Connection, None]] = {}
        self._apart: dict[Connection, Position] = {}
        # Those of the level who are still to be sent the frame of the last flush.
        self._owed: dict[Connection, Callable[[bytes], None]] = {}
        self._frame = b""
        self._changed: dict[str, None] = {}
        self._flushed_s = 0.0
        self._window_s = coalesce_s
        self._timer: asyncio.TimerHandle | None = None
        self._snapshot: tuple[Position, list[bytes]] = (_NOWHERE, [])

    # --- who is there -----------------------------------------------------------------------------------------------

    def add(self, connection: Connection, resume: Position | None) -> None:
        """Bring a connection in: with a delta, if it can be continued from where it was, or with a snapshot."""
        self._watch(connection)
        if resume is not None and connection not in self._watching and self._roster.continues(*resume):
            self._send(connection, self._delta(self._since(resume.version)))
            self._place(connection)
        else:
            self._begin(connection)

    def discard(self, connection: Connection) -> None:
        """The connection is gone."""
        self._level.pop(connection, None)
        self._owed.pop(connection, None)
        self._apart.pop(connection, None)
        for user in self._watching.pop(connection, ()):
            watchers = self._watchers[user]
            del watchers[connection]
            if not watchers:
                del self._watchers[user]

    def rewatch(self, connection: Connection) -> None:
        """The connection's watch list changed: it gets a snapshot, so narrowed."""
        # What it is owed, the snapshot holds.
        self.discard(connection)
        self._watch(connection)
        self._begin(connection)

    def block(self, connection: Connection) -> None:
        """The connection takes no more data: pass it by, remembering where it stands."""
        if connection not in self._apart:
            self._level.pop(connection, None)
            if (write := self._owed.pop(connection, None)) is not None:
                write(self._frame)
            self._apart[connection] = self._level_at if self._changed else self._here()

    def unblock(self, connection: Connection) -> None:
        """The connection takes data again: bring it up to date."""
        if connection in self._apart:
            self._catch_up(connection, {})

    def _begin(self, connection: Connection) -> None:
        """Send the first snapshot, or of whatever has to begin anew; to one that is blocked, when it reads again."""
        if connection.blocked_s:
            # What it has not read yet of another snapshot comes first, and whole.
            self._apart[connection] = _NOWHERE
            return
        self._send_snapshot(connection)
        self._place(connection)

    def _watch(self, connection: Connection) -> None:
        users = connection.watched(self._team)
        if users is not None:
            self._watching[connection] = users
            for user in users:
                self._watchers.setdefault(user, {})[connection] = None

    def _place(self, connection: Connection) -> None:
        """Let a connection that has been told everything up to here stand where the next flush finds it right."""
        if self._changed or connection.blocked_s:
            self._level.pop(connection, None)
            self._apart[connection] = self._here()
            return
        self._apart.pop(connection, None)
        self._level_at = self._here()
        if connection not in self._watching:
            self._level[connection] = connection.socket.write

    # --- what happens -----------------------------------------------------------------------------------------------

    def changed(self, users: Iterable[str]) -> None:
        """Users changed: tell the sockets at once after quiet, or with the others of this window."""
        for user in users:
            self._changed[user] = None
        if self._timer is None and self._changed:
            # "At once" is still after this turn of the loop, which may bring more.
            wait_s = max(0.0, self._flushed_s + self._window_s - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self.flush)

    def replaced(self) -> None:
        """The roster is another one: everybody gets a snapshot."""
        self._changed.clear()
        self._owed.clear()
        everybody = [*self._level, *self._watching, *self._apart]
        self._level.clear()
        self._apart.update(dict.fromkeys(everybody, _NOWHERE))
        self._send_anew(everybody)

    def _send_anew(self, everybody: list[Connection]) -> None:
        for connection in everybody[:SNAPSHOTS]:
            if connection in self._apart and not connection.blocked_s:
                self._catch_up(connection, {})
        if len(everybody) > SNAPSHOTS:
            asyncio.get_running_loop().call_soon(self._send_anew, everybody[SNAPSHOTS:])

    def flush(self) -> None:
        """Send what changed since the last flush."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # The thread's own time: another process that has the processor is no reason to send less often.
        started_s = time.thread_time()
        self._pay(len(self._owed))
        changed, self._changed = self._changed, {}
        self._level_at = self._here()
        level_s = 0.0
        if changed:
            delivered = self._send_level(changed)
            level_s = (time.thread_time() - started_s) * max(1.0, len(self._level) / SLICE)
            delivered += self._send_watching(changed)
            self._observe(changed, delivered)
        frames_by_version: dict[int, bytes | None] = {}
        for connection, position in list(self._apart.items()):
            if not connection.blocked_s and position != _NOWHERE:
                self._catch_up(connection, frames_by_version)
        self._flushed_s = time.monotonic()
        wanted_s = max(level_s / SHARE, (time.thread_time() - started_s) / WATCHERS_SHARE)
        self._window_s = max(self._coalesce_s, min(MAX_WINDOW_S, wanted_s))

    def close(self) -> None:
        """Nobody is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_level(self, changed: dict[str, None]) -> int:
        if not self._level:
            return 0
        self._frame = self._delta(self._fragments(changed))
        self._owed = self._level.copy()
        self._pay(SLICE)
        self._counters.frames_sent += len(self._level)
        return len(self._level) * len(changed)

    def _pay(self, at_most: int) -> None:
        """Send the last flush's frame to some who are still owed it, and leave the others to the next turn."""
        frame, owed = self._frame, self._owed
        if at_most >= len(owed):
            # Taken over whole, because writing may block a connection, which looks it up.
            self._owed = {}
            for write in owed.values():
                write(frame)
            return
        for connection in list(islice(owed, at_most)):
            # Out before the writing, for the same reason.
            owed.pop(connection)(frame)
        asyncio.get_running_loop().call_soon(self._pay, SLICE)

    def _send_watching(self, changed: dict[str, None]) -> int:
        if not self._watchers:
            return 0
        news: dict[Connection, list[str]] = {}
        for user in changed:
            for connection in self._watchers.get(user, ()):
                if connection not in self._apart:
                    news.setdefault(connection, []).append(user)
        made: dict[tuple[str, ...], bytes] = {}
        for connection, users in news.items():
            same = tuple(users)
            if same not in made:
                made[same] = self._delta(self._fragments(users))
            self._send(connection, made[same])
        return sum(map(len, news.values()))

    def _catch_up(self, connection: Connection, made: dict[int, bytes | None]) -> None:
        position = self._apart[connection]
        if position != self._here():
            if not self._roster.continues(*position):
                self._send_snapshot(connection)
            else:
                watched = self._watching.get(connection)
                frame = self._catch_up_frame(position.version, watched, made)
                if frame is not None:
                    self._send(connection, frame)
        self._place(connection)

    def _catch_up_frame(
        self, version: int, watched: frozenset[str] | None, made: dict[int, bytes | None]
    ) -> bytes | None:
        if watched is not None:
            fragments = [f for user, f in self._since_by_user(version) if user in watched]
            return self._delta(fragments) if fragments else None
        if version not in made:
            fragments = self._since(version)
            made[version] = self._delta(fragments) if fragments else None
        return made[version]

    # --- frames -----------------------------------------------------------------------------------------------------

    def _here(self) -> Position:
        return Position(self._roster.mark.epoch, self._roster.mark.version)

    def _fragments(self, users: Iterable[str]) -> list[bytes]:
        entries = [self._roster.get(user) for user in users]
        return [entry.fragment for entry in entries if entry is not None]

    def _since_by_user(self, version: int) -> list[tuple[str, bytes]]:
        # A user who has only chosen, and never been seen, is nobody's news.
        found = [
            (user, entry.fragment)
            for user, entry in self._roster.since(version)
            if entry.since and entry.shown > version
        ]
        return found[::-1]

    def _since(self, version: int) -> list[bytes]:
        return [fragment for _, fragment in self._since_by_user(version)]

    def _delta(self, fragments: Iterable[bytes]) -> bytes:
        epoch, version = self._here()
        return frames.text(messages.delta(self._team, epoch, version, fragments))

    def _send(self, connection: Connection, frame: bytes) -> None:
        self._counters.frames_sent += 1
        connection.socket.write(frame)

    def _send_snapshot(self, connection: Connection) -> None:
        watched = self._watching.get(connection)
        if watched is None:
            here = self._here()
            if self._snapshot[0] != here:
                self._snapshot = (here, self._parts([entry.fragment for _, entry in self._roster.visible()]))
            parts = self._snapshot[1]
        else:
            entries = [self._roster.get(user) for user in watched]
            parts = self._parts([entry.fragment for entry in entries if entry and entry.status != OFFLINE])
        self._counters.frames_sent += len(parts)
        connection.send_parts(parts)

    def _parts(self, fragments: list[bytes]) -> list[bytes]:
        epoch, version = self._here()
        last = max(0, len(fragments) - 1) // PART * PART
        return [
            frames.text(messages.snapshot(self._team, epoch, version, fragments[at : at + PART], more=at < last))
            for at in range(0, last + 1, PART)
        ]

    def _observe(self, changed: dict[str, None], delivered: int) -> None:
        self._counters.updates_delivered += delivered
        now_ms = self._now_ms()
        for user in changed:
            entry = self._roster.get(user)
            if entry is not None:
                self._counters.delivery_latency.observe(max(0, now_ms - entry.since) / 1000)
