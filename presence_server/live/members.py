"""Who is here: connections by id and by user, and the holds that stand for them, given back on every way out."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, Protocol

from presence_server.core.codes import REPLACED_BY_ITSELF, CloseCode
from presence_server.core.connection import State
from presence_server.live.connection import Connection, Membership, Room, Socket
from presence_server.live.counters import Counters
from presence_server.store.hold import Hold

# Codes for peers that do not react, and how long such a one may take to read why.
_UNHEARD: Final = frozenset({CloseCode.INTERNAL_ERROR, CloseCode.TOO_SLOW})
_LAST_WORDS_S: Final = 1.0


class Letting(Protocol):
    """Where holds are told."""

    def let_go(self, hold: Hold) -> None:
        """Connections of a hold ended, or its session did: bring it into line, whenever Redis can."""


class Watch(Protocol):
    """What keeps time for connections."""

    def add(self, connection: Connection, now_s: float) -> None:
        """A connection was made; its hello is due."""

    def discard(self, connection: Connection) -> None:
        """A connection is gone."""


class Members:
    """All connections of a worker, and what each is a member of.

    Args:
        store: where holds are told.
        watch: keeps time for connections.
        counters: where ends are counted.
        per_user: how many connections of one user there may be.
        clock: a monotonic clock, seconds.

    Attributes:
        id: the first part of every connection's id, new at every start.
    """

    def __init__(
        self, store: Letting, watch: Watch, counters: Counters, per_user: int, clock: Callable[[], float]
    ) -> None:
        self.id = secrets.token_hex(4)
        self._store = store
        self._watch = watch
        self._counters = counters
        self._per_user = per_user
        self._clock = clock
        self._made = 0
        self._by_id: dict[str, Connection] = {}
        # Lists: nearly all users have one or two, and a dict would cost 200 bytes more for each.
        self._by_user: dict[str, list[Connection]] = {}
        self._holds: dict[str, dict[tuple[str, str], Hold]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Connection]:
        """Every connection, the oldest first."""
        return list(self._by_id.values())

    def of_user(self, user: str) -> list[Connection]:
        """A user's connections, the oldest first."""
        return list(self._by_user.get(user, ()))

    def holds_of(self, team: str) -> list[Hold]:
        """Every hold in a team, those under way included."""
        return list(self._holds.get(team, {}).values())

    def holds_on(self, team: str, user: str) -> set[Hold]:
        """The holds on one user in a team; costs as much as he has connections."""
        mine = self._by_user.get(user, ())
        return {each.hold for connection in mine for each in connection.memberships if each.hold.team == team}

    def teams(self) -> list[str]:
        """The teams in which anybody here is held."""
        return list(self._holds)

    # --- connections come and go ------------------------------------------------------------------------------------

    def accept(self, socket: Socket) -> Connection:
        """Take on a socket whose handshake is done."""
        now_s = self._clock()
        self._made += 1
        connection = Connection(f"{self.id}-{self._made:x}", socket, now_s)
        self._by_id[connection.id] = connection
        self._watch.add(connection, now_s)
        return connection

    def admit(self, connection: Connection, user: str, session: str) -> None:
        """A connection has a user: make room for it among his others (section 3)."""
        connection.user, connection.session = user, session
        mine = self._by_user.setdefault(user, [])
        mine.append(connection)
        for oldest in mine[: max(0, len(mine) - self._per_user)]:
            self._counters.refusals[str(int(CloseCode.REPLACED))] += 1
            self.end(oldest, CloseCode.REPLACED, CloseCode.REPLACED.reason)

    def replaced(self, user: str, identity: str) -> None:
        """End a connection that its own tab has given up, if it is here."""
        connection = self._by_id.get(identity)
        if connection is not None and connection.user == user:
            self.end(connection, CloseCode.REPLACED, REPLACED_BY_ITSELF)

    def end(self, connection: Connection, code: int, reason: str) -> None:
        """End a connection from this side; it is forgiven like any other that is lost."""
        if connection.state is State.CLOSED:
            return
        self.silence(connection)
        self.forget(connection, code)
        connection.socket.close(code, reason)
        if code in _UNHEARD:
            # The peer will hardly answer, and what lies in the buffer is not to stay there.
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, connection.socket.abort)

    def silence(self, connection: Connection) -> None:
        """Nobody may write to a connection that has ended; the rest can wait for its turn."""
        connection.closed()
        for membership in connection.memberships:
            membership.room.discard(connection)

    def forget(self, connection: Connection, code: int) -> None:
        """Give back all that stands for a connection that was silenced."""
        self._counters.connections_closed[code] += 1
        self._by_id.pop(connection.id, None)
        self._watch.discard(connection)
        mine = self._by_user.get(connection.user)
        if mine is not None and connection in mine:
            mine.remove(connection)
            if not mine:
                del self._by_user[connection.user]
        for membership in connection.memberships:
            membership.give_up()
            self._close(membership.hold)
        connection.memberships = ()

    # --- memberships ------------------------------------------------------------------------------------------------

    def join(self, connection: Connection, room: Room, team: str, active_s: float, issued_at_s: float) -> Membership:
        """Count a connection in a team; whatever ends it gives this back."""
        holds = self._holds.setdefault(team, {})
        key = (connection.user, connection.session)
        hold = holds.get(key)
        if hold is None:
            hold = holds[key] = Hold(team, *key, active_s)
        hold.connections += 1
        hold.is_new = True
        hold.active_s = max(hold.active_s, active_s)
        hold.issued_at_s = max(hold.issued_at_s, issued_at_s)
        membership = Membership(room, hold)
        connection.memberships = (*connection.memberships, membership)
        return membership

    def leave(self, connection: Connection, membership: Membership) -> None:
        """A connection is in a team no more, by its own token: what is left is forgiven like a loss."""
        self._detach(connection, membership)
        self._close(membership.hold)

    def refuse(self, hold: Hold) -> None:
        """A session was signed out of a team: its connections leave it, and end if it was their last."""
        self._end_hold(hold)
        for connection in self.of_user(hold.user):
            for membership in connection.memberships:
                if membership.hold is hold:
                    self._detach(connection, membership)
                    # One that is still on its way in finds out by itself which of its teams are left.
                    if connection.state is State.OPEN and not connection.memberships:
                        self.end(connection, CloseCode.SIGNED_OUT, CloseCode.SIGNED_OUT.reason)

    def session_ended_in(self, team: str, user: str, session: str, version: int) -> None:
        """A session, or with an empty name all of a user's, ended in a team when it was at `version`."""
        for hold in self.holds_of(team):
            if hold.user == user and session in ("", hold.session):
                if not hold.version:
                    hold.refused_at = version
                elif hold.version < version:
                    self.refuse(hold)

    def end_session(self, user: str, session: str) -> list[str]:
        """A session was signed out for good: close its connections here; returns the teams it was in."""
        teams: dict[str, None] = {}
        for connection in self.of_user(user):
            if connection.session == session:
                for membership in connection.memberships:
                    teams[membership.hold.team] = None
                    self._end_hold(membership.hold)
                self.end(connection, CloseCode.SIGNED_OUT, CloseCode.SIGNED_OUT.reason)
        return list(teams)

    def _detach(self, connection: Connection, membership: Membership) -> None:
        membership.give_up()
        membership.room.discard(connection)
        connection.memberships = tuple([other for other in connection.memberships if other is not membership])
        connection.teams = tuple([team for team in connection.teams if team != membership.hold.team])

    def _close(self, hold: Hold) -> None:
        hold.connections -= 1
        if not hold.ended:
            if not hold.connections:
                self._drop(hold)
            self._store.let_go(hold)

    def _end_hold(self, hold: Hold) -> None:
        if not hold.ended:
            hold.ended = True
            self._drop(hold)
            # Whoever lets a hold go tells the team himself, whoever signed the session out.
            self._store.let_go(hold)

    def _drop(self, hold: Hold) -> None:
        holds = self._holds.get(hold.team, {})
        if holds.get(hold.key) is hold:
            del holds[hold.key]
            if not holds:
                del self._holds[hold.team]
