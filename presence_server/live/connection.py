"""One connection on this worker: the protocol's core, the socket it talks through, and what it may hold at most.

A connection that does not read is never sent a backlog. As soon as its socket's buffer is full it is `blocked`: teams
pass it by, remembering where it stood, and when it takes data again each brings it up to date with the newest state.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Final, Protocol

from presence_server.core import frames
from presence_server.core.connection import ConnectionCore, State
from presence_server.core.messages import Watched
from presence_server.store.hold import Hold

STUCK_S = 10.0


class Socket(Protocol):
    """What a connection needs of its WebSocket; `web` has one for its own protocol and one for any ASGI server."""

    def write(self, frame: bytes) -> None:
        """Send a frame made by `core.frames`; never waits, and reports to `Connections.paused` when it is too much."""

    def ping(self) -> None:
        """Send a ping; anything that arrives is an answer."""

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and end the connection."""

    def abort(self) -> None:
        """End the connection without another word."""

    def pending(self) -> int:
        """How many bytes the peer has not taken yet, as far as this side can tell."""

    def taken(self) -> int:
        """A number that rises when the peer takes some of what was sent to it, whatever is sent meanwhile."""

    def silent_s(self) -> float:
        """For how long the peer's system has confirmed nothing that was sent to it; infinite where nobody can tell."""

    def pause_reading(self) -> None:
        """Deliver no more messages for now."""

    def resume_reading(self) -> None:
        """Deliver messages again."""


class NullSocket:
    """A socket by which nothing arrives."""

    __slots__ = ()

    def write(self, frame: bytes) -> None: ...

    def ping(self) -> None: ...

    def close(self, code: int, reason: str = "") -> None: ...

    def abort(self) -> None: ...

    def pending(self) -> int:
        return 0

    def taken(self) -> int:
        return 0

    def silent_s(self) -> float:
        return math.inf

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


GONE: Final[Socket] = NullSocket()
"""Of every connection that is lost, so that it and its own socket do not keep each other."""


class Room(Protocol):
    """Where a connection hears of a team."""

    def discard(self, connection: Connection) -> None:
        """The connection is gone, if it was there."""

    def block(self, connection: Connection) -> None:
        """The connection takes no more data: pass it by, remembering where it stands."""

    def unblock(self, connection: Connection) -> None:
        """The connection takes data again: bring it up to date."""


class Membership:
    """One connection in one team: where it hears of it, what stands for it in Redis, and who brings it in."""

    __slots__ = ("arriving", "hold", "room")

    def __init__(self, room: Room, hold: Hold) -> None:
        self.room = room
        self.hold = hold
        self.arriving: asyncio.Task[Any] | None = None

    def give_up(self) -> None:
        """It has ended: nobody need be brought in any more."""
        if self.arriving is not None:
            self.arriving.cancel()


class Connection(ConnectionCore):
    """One WebSocket of one user.

    Attributes:
        id: unique among all workers; begins with the worker's id.
        socket: where to send; `GONE` once it is lost.
        user, session: whose it is; empty before `hello` was accepted.
        expires_s: when its token expires, by the monotonic clock.
        memberships: one for each team it is in, or on its way into.
        watch: the users it is narrowed to, by team; None when it is narrowed nowhere.
        heard_s: when anything was last received.
        blocked_s: since when its socket takes no more data; 0 while it does.
        bucket: its place in the wheel.
        greeted: whether its first message has come, even if nobody has looked at it yet.
    """

    __slots__ = (
        "_outbox",
        "blocked_s",
        "bucket",
        "expires_s",
        "greeted",
        "heard_s",
        "id",
        "memberships",
        "session",
        "socket",
        "user",
        "watch",
    )

    def __init__(self, identity: str, socket: Socket, now_s: float) -> None:
        super().__init__(now_s)
        self.id = identity
        self.socket = socket
        self.user = ""
        self.session = ""
        self.expires_s = 0.0
        self.memberships: tuple[Membership, ...] = ()
        self.watch: dict[str, frozenset[str]] | None = None
        self.heard_s = now_s
        self.blocked_s = 0.0
        self.bucket = 0
        self.greeted = False
        self._outbox: list[bytes] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has not ended yet."""
        return self.state is not State.CLOSED

    def send(self, payload: bytes) -> None:
        """Send one message of its own to this connection."""
        if self.state is not State.CLOSED:
            self.socket.write(frames.text(payload))

    def send_parts(self, parts: Sequence[bytes]) -> None:
        """Send frames that are shared with others, as fast as the peer reads; until the last, it is blocked."""
        for at, frame in enumerate(parts):
            if self.blocked_s:
                self._outbox = [*parts[at:]][::-1]
                return
            self.socket.write(frame)

    def paused(self, now_s: float) -> None:
        """The socket's buffer is full."""
        self.blocked_s = now_s

    def resumed(self) -> bool:
        """The socket takes data again; tells whether the connection is no longer blocked."""
        self.blocked_s = 0.0
        while self._outbox:
            self.socket.write(self._outbox.pop())
            if self.blocked_s:
                return False
        self._outbox = None
        return True

    def watched(self, team: str) -> Watched:
        """The users it is narrowed to in a team, None for all."""
        return self.watch.get(team) if self.watch is not None else None

    def narrow(self, team: str, users: Watched) -> None:
        """Set or, with None, lift the watch list of a team; he himself is always part of it."""
        watch = dict(self.watch or {})
        if users is None:
            watch.pop(team, None)
        else:
            watch[team] = users | {self.user}
        self.watch = watch or None
