"""The pulse of a worker's connections: pings, and ends for what has expired, never spoke, or does not read.

Liveness is the server's ping and not a page's timer: browsers answer pings even in a hidden, throttled tab. Anything
that arrives after a ping counts as its answer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from presence_server.core.codes import PING_UNANSWERED, CloseCode
from presence_server.core.connection import HELLO_TIMEOUT_S, State
from presence_server.live.connection import STUCK_S, Connection
from presence_server.live.wheel import Wheel

# A tick that comes so much late means the process stood still: silence meanwhile was ours.
STANDSTILL_S: Final = 1.0


class Pulse:
    """Visits all connections of a worker.

    Args:
        ping_interval_s, ping_timeout_s: how often to ping, and how long to wait for an answer.
        end: ends a connection, with a close code and a reason.
        clock: a monotonic clock, seconds.
    """

    def __init__(
        self,
        ping_interval_s: float,
        ping_timeout_s: float,
        end: Callable[[Connection, CloseCode, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_s = ping_interval_s
        self._timeout_s = ping_timeout_s
        self._end = end
        self._clock = clock
        self._wheel: Wheel[Connection] = Wheel(ping_interval_s, clock())
        # When the answers are due, when the pings went out, and to whom.
        self._pinged: deque[tuple[float, float, list[Connection]]] = deque()
        # Of who may be slow or dead: how far it had taken what was sent when last looked, and when it last took some.
        self._taking: dict[Connection, tuple[int, float]] = {}

    def add(self, connection: Connection, now_s: float) -> None:
        """A connection was made; its hello is due."""
        self._wheel.add(connection)
        self._wheel.at(now_s + HELLO_TIMEOUT_S, connection, self._expect_hello)

    def discard(self, connection: Connection) -> None:
        """A connection is gone."""
        self._wheel.discard(connection)
        self._taking.pop(connection, None)

    def opened(self, connection: Connection, now_s: float) -> None:
        """A connection has a token, which will expire."""
        if connection.expires_s <= now_s + self._interval_s + STANDSTILL_S:
            self._wheel.at(connection.expires_s, connection, self._expect_token)

    def blocked(self, connection: Connection) -> None:
        """A connection takes no more data."""
        self._taking[connection] = (connection.socket.taken(), connection.blocked_s)

    def unblocked(self, connection: Connection) -> None:
        """A connection takes data again."""
        self._taking.pop(connection, None)

    async def run(self) -> None:
        """Beat until cancelled."""
        due_s = self._clock()
        while True:
            now_s = self._clock()
            if now_s - due_s > STANDSTILL_S:
                self._pinged = deque((now_s + self._timeout_s, pinged_s, batch) for _, pinged_s, batch in self._pinged)
            self.beat(now_s)
            due_s = max(due_s + self._wheel.tick_s, now_s)
            await asyncio.sleep(due_s - self._clock())

    def beat(self, now_s: float) -> None:
        """Do what is due at this instant of the monotonic clock."""
        while self._pinged and self._pinged[0][0] <= now_s:
            _, pinged_s, connections = self._pinged.popleft()
            for connection in connections:
                # From who is blocked nothing is read, hence no answer either; he has his own time limit.
                if connection.heard_s < pinged_s and not connection.blocked_s and connection.state is not State.CLOSED:
                    self._unanswered(connection, pinged_s, now_s)
        self._see_who_takes(now_s)
        visited = [connection for connection in self._wheel.turn(now_s) if connection.state is not State.CLOSED]
        for connection in visited:
            connection.socket.ping()
            if connection.state is State.OPEN:
                self.opened(connection, now_s)
        if visited:
            self._pinged.append((now_s + self._timeout_s, now_s, visited))

    def _unanswered(self, connection: Connection, pinged_s: float, now_s: float) -> None:
        if connection.socket.pending() and connection.socket.silent_s() < now_s - pinged_s:
            # Its system lives, and the ping may be behind what it has not taken yet.
            self._taking.setdefault(connection, (connection.socket.taken(), now_s))
        else:
            self._end(connection, CloseCode.INTERNAL_ERROR, PING_UNANSWERED)

    def _see_who_takes(self, now_s: float) -> None:
        for connection, (before, since_s) in list(self._taking.items()):
            # Who takes something is served, however slowly.
            if (taken := connection.socket.taken()) > before:
                self._taking[connection] = (taken, now_s)
            elif now_s - since_s >= STUCK_S:
                self._end(connection, CloseCode.TOO_SLOW, CloseCode.TOO_SLOW.reason)
                continue
            if not connection.blocked_s and not connection.socket.pending():
                # Now the pings are there: that it took all before them was as good as an answer.
                del self._taking[connection]
                connection.heard_s = now_s

    def _expect_hello(self, connection: Connection, now_s: float) -> None:
        if connection.state is not State.EXPECTED:
            return
        if connection.greeted:
            # What has come waits for its turn; it may turn out to be no hello, which puts nothing off.
            self._wheel.at(now_s + self._wheel.tick_s, connection, self._expect_hello)
        else:
            self._end(connection, CloseCode.NO_HELLO, CloseCode.NO_HELLO.reason)

    def _expect_token(self, connection: Connection, now_s: float) -> None:
        if connection.state is State.OPEN and connection.expires_s <= now_s:
            self._end(connection, CloseCode.TOKEN_EXPIRED, CloseCode.TOKEN_EXPIRED.reason)
