"""One connection as a state machine without I/O: what arrives goes in, what is to be done comes out.

            ┌──────────┐ hello   ┌─────────┐ joined ┌──────┐
   opened ─►│ EXPECTED │────────►│ JOINING │───────►│ OPEN │   close, from anywhere ─► CLOSED
            └──────────┘         └─────────┘        └──────┘

`receive` checks size, rate, form and order, and returns the command that the shell carries out.
What is wrong comes out as an error: with a close code it ends the connection, without one it is answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from presence_server import errors
from presence_server.core import messages
from presence_server.core.bucket import Rate, TokenBucket, milliseconds_until
from presence_server.core.codes import CloseCode, ErrorCode
from presence_server.core.messages import Command, Explain, Heartbeat, Hello, Renew, SetStatus, Watch, Watched

RATE: Final = Rate(per_s=10.0, burst=50.0)
"""Of messages of one connection."""
MAX_DROPPED_PER_MINUTE: Final = 100
HELLO_TIMEOUT_S: Final = 5.0


class State(IntEnum):
    EXPECTED = 0
    JOINING = 1
    OPEN = 2
    CLOSED = 3


class RateLimit:
    """The bucket of a connection's messages, which remembers what it dropped (section 5).

    Made only for a connection that sends faster than one message a tenth of a second, so that quiet ones, which are
    nearly all, carry no state for it. Such a one has just spent a token of a full bucket, at `spent_s`.
    """

    __slots__ = ("_bucket", "_dropped_s")

    def __init__(self, spent_s: float) -> None:
        self._bucket = TokenBucket(RATE, spent_s)
        self._bucket.spend(RATE, spent_s)
        self._dropped_s: deque[float] = deque(maxlen=MAX_DROPPED_PER_MINUTE)

    def spend(self, now_s: float) -> errors.RateLimited | None:
        """Take one token; returns what to answer if none is left, whose `retry_ms` says when one will be.

        Raises:
            RateBroken: that was the hundredth within a minute.
        """
        wait_s = self._bucket.spend(RATE, now_s)
        if not wait_s:
            return None
        self._dropped_s.append(now_s)
        if len(self._dropped_s) == MAX_DROPPED_PER_MINUTE and now_s - self._dropped_s[0] < 60.0:
            raise RateBroken
        return errors.RateLimited(
            f"Expected at most {RATE.per_s:.0f} messages a second, got more", milliseconds_until(wait_s)
        )

    def is_full(self, now_s: float) -> bool:
        """Whether the bucket has nothing to remember any more."""
        if self._dropped_s and now_s - self._dropped_s[-1] < 60.0:
            return False
        return self._bucket.left(RATE, now_s) == RATE.burst


class RateBroken(errors.PresenceError):
    """The limit kept being broken: the connection ends."""

    code = ErrorCode.RATE_LIMITED
    close_code = CloseCode.RATE_BROKEN

    def __init__(self) -> None:
        super().__init__(f"Expected fewer than {MAX_DROPPED_PER_MINUTE} messages a minute over the limit")


class ConnectionCore:
    """The protocol's side of one connection.

    Attributes:
        state: where in the life of the connection it is.
        teams: the teams it is in; empty before `opened`.
    """

    __slots__ = ("_heard_s", "_rate", "_watched", "state", "teams")

    def __init__(self, now_s: float) -> None:
        self.state = State.EXPECTED
        self.teams: tuple[str, ...] = ()
        self._heard_s = now_s - 1.0
        self._rate: RateLimit | None = None
        # How many users it is narrowed to, by team; None while it is narrowed nowhere.
        self._watched: dict[str, int] | None = None

    def receive(self, data: bytes | str, now_s: float) -> Command:
        """Check one text frame's payload and return what it asks for.

        Args:
            data: the payload.
            now_s: a monotonic clock, seconds.

        Raises:
            errors.PresenceError: with a close code, the connection ends; without, the message is answered with it
                (`Rejected` carries the message's id).
        """
        limit = messages.MAX_HELLO_BYTES if self.state is State.EXPECTED else messages.MAX_MESSAGE_BYTES
        _check_size(data, limit)
        limited = self._spend(now_s)
        try:
            message = messages.decode(data)
        except errors.BadFrame:
            raise
        except errors.BadMessage as exc:
            raise Rejected(limited or exc, None) from None
        if limited is not None:
            raise Rejected(limited, messages.message_id(message))
        try:
            command = messages.parse(message)
            self._check(command)
            if type(command) is Watch:
                self._watch({command.team: command.users})
            elif type(command) is Hello:
                self._watch(command.watch)
        except errors.PresenceError as exc:
            raise Rejected(exc, messages.message_id(message)) from None
        if type(command) is Renew:
            _check_size(data, messages.MAX_HELLO_BYTES)
        elif type(command) is Hello:
            self.state = State.JOINING
        return command

    def opened(self, teams: tuple[str, ...]) -> None:
        """The hello was carried out: the connection is in these teams."""
        self.teams = teams
        if self.state is not State.CLOSED:
            self.state = State.OPEN

    def closed(self) -> None:
        """The connection has ended, whoever ended it."""
        self.state = State.CLOSED

    def _spend(self, now_s: float) -> errors.RateLimited | None:
        """Count one message, whatever it holds, before any work is done for it."""
        heard_s, self._heard_s = self._heard_s, now_s
        if self._rate is None:
            if now_s - heard_s >= 1.0 / RATE.per_s:
                return None
            self._rate = RateLimit(heard_s)
        elif self._rate.is_full(now_s):
            self._rate = None
            return None
        return self._rate.spend(now_s)

    def _watch(self, lists: Mapping[str, Watched]) -> None:
        """Take note of watch lists; together they must not be too long, each being kept in memory.

        Raises:
            errors.TooManyUsers: they are.
        """
        watched = dict(self._watched or {})
        for team, users in lists.items():
            watched.pop(team, None)
            if users is not None:
                watched[team] = len(users)
        total = sum(watched.values())
        if total > messages.MAX_WATCHED_IN_ALL:
            limit = messages.MAX_WATCHED_IN_ALL
            raise errors.TooManyUsers(f"Expected at most {limit} users to watch in all teams, got {total}")
        self._watched = watched or None

    def _check(self, command: Command) -> None:
        if type(command) is Heartbeat and self.state is State.OPEN:
            return
        if type(command) is Hello:
            if self.state is not State.EXPECTED:
                raise errors.BadMessage("Expected 'hello' once, got another")
            return
        if self.state is State.EXPECTED:
            raise errors.BadMessage("Expected 'hello' first, got something else")
        if (
            isinstance(command, (Explain, SetStatus, Watch))
            and command.team is not None
            and command.team not in self.teams
        ):
            raise errors.NotAMember(f"Expected a team of this connection, got '{command.team}'")


def _check_size(data: bytes | str, limit: int) -> None:
    if len(data) > limit:
        raise errors.TooLarge(f"Expected at most {limit} bytes, got {len(data)}")


class Rejected(Exception):
    """A message that is well-formed JSON and yet refused: the error to answer with, and the id to put on it."""

    def __init__(self, error: errors.PresenceError, identity: Any) -> None:
        super().__init__(str(error))
        self.error = error
        self.identity = identity
