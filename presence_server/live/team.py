"""A team on this worker: its replica, its sockets, and what its users here must be told of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from presence_server.core import frames, messages
from presence_server.core.codes import Reason
from presence_server.core.messages import Position
from presence_server.core.roster import NO_MARK, Mark, News
from presence_server.core.status import OFFLINE
from presence_server.live.connection import Connection
from presence_server.live.counters import Counters
from presence_server.live.fanout import FanOut
from presence_server.live.inputs import Inputs
from presence_server.live.members import Members
from presence_server.live.replica import Replica
from presence_server.settings import Settings
from presence_server.store.store import Store

Spawning: TypeAlias = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Surroundings(NamedTuple):
    """What all teams of a partition share.

    Attributes:
        alone: whether there is no other partition: then Redis out of reach is told once, and not by each team.
    """

    store: Store
    members: Members
    inputs: Inputs
    counters: Counters
    settings: Settings
    alone: bool = True


class Team:
    """One team on this worker.

    Args:
        name: the team's id.
        around: what it needs.
        spawn: starts a task.
        on_unheard: is called when something did not come by the feed: it is to be followed anew, and read.

    Attributes:
        name: the team's id.
        replica: its roster.
        fanout: its sockets.
        followed: whether its channel has been subscribed to.
        pending: who is on his way in, or must not lose it: the team must stay.
        stale: whether Redis refuses this team, whatever else is live.
        looked_at: what was found when it was looked at last, and what was known then: the stored mark, the roster's,
            and the number of the last acknowledged write.
    """

    def __init__(self, name: str, around: Surroundings, spawn: Spawning, on_unheard: Callable[[], None]) -> None:
        self.name = name
        self.followed = False
        self.pending = 0
        self.looked_at: tuple[bytes | None, Mark, int] = (None, NO_MARK, 0)
        self._around = around
        self._refused = False
        self._out_of_reach = False
        self._members: dict[str, list[Connection]] = {}
        self._chosen: dict[str, str] = {}
        self.replica = Replica(
            name,
            around.store,
            self,
            on_out_of_reach=around.store.down,
            on_unheard=on_unheard,
            spawn=spawn,
            resyncs=around.counters.resyncs,
        )
        self.fanout = FanOut(
            name, self.replica.roster, around.settings.coalesce_s, around.counters, around.store.now_ms
        )

    @property
    def empty(self) -> bool:
        """Whether nobody here needs the team any more."""
        return not (self._members or self.pending)

    @property
    def mark(self) -> Mark:
        """What the roster stands for."""
        return self.replica.roster.mark

    def status_of(self, user: str) -> str:
        """What a user is shown as."""
        entry = self.replica.roster.get(user)
        return OFFLINE if entry is None else entry.status

    def close(self) -> None:
        """Nobody here needs the team any more."""
        self.replica.close()
        self.fanout.close()

    # --- connections ------------------------------------------------------------------------------------------------

    def add(self, connection: Connection, chosen: str, resume: Position | None) -> None:
        """Bring a connection in: tell it of itself, then of the team."""
        if self.name not in connection.teams:
            connection.teams += (self.name,)
        self._members.setdefault(connection.user, []).append(connection)
        # What the feed has told meanwhile is newer than the answer to the join.
        entry = self.replica.roster.get(connection.user)
        self._chosen[connection.user] = entry.chosen if entry is not None else chosen
        self._tell_self(connection)
        self.fanout.add(connection, resume)
        if self.stale:
            connection.send(messages.feed(live=False, team=self.name))

    def discard(self, connection: Connection) -> None:
        """A connection is gone, if it was here."""
        members = self._members.get(connection.user)
        if members is not None and connection in members:
            members.remove(connection)
            self.fanout.discard(connection)
            if not members:
                del self._members[connection.user]
                del self._chosen[connection.user]

    def block(self, connection: Connection) -> None:
        """The connection takes no more data: pass it by, remembering where it stands."""
        if connection in self._members.get(connection.user, ()):
            self.fanout.block(connection)

    def unblock(self, connection: Connection) -> None:
        """The connection takes data again: bring it up to date."""
        if connection in self._members.get(connection.user, ()):
            self.fanout.unblock(connection)

    def connections(self) -> Iterable[Connection]:
        """Everybody who is here."""
        return [connection for connections in self._members.values() for connection in connections]

    @property
    def stale(self) -> bool:
        """Whether statuses may be stale here, whatever else is live."""
        return self._refused or self._out_of_reach

    def set_refused(self, refused: bool) -> None:
        """Redis refuses this team, or does not any more."""
        was_stale, self._refused = self.stale, refused
        self._tell_stale(was_stale)

    def set_out_of_reach(self, out_of_reach: bool) -> None:
        """The team's part of Redis is out of reach, or back with everything up to date."""
        was_stale, self._out_of_reach = self.stale, out_of_reach
        self._tell_stale(was_stale)

    def _tell_stale(self, was_stale: bool) -> None:
        if self.stale != was_stale:
            frame = frames.text(messages.feed(live=not self.stale, team=self.name))
            for connection in self.connections():
                connection.socket.write(frame)

    def _tell_self(self, connection: Connection) -> None:
        connection.send(messages.self_state(self.name, self._chosen[connection.user], self.replica.idle_timeout_ms))

    # --- what the replica tells -------------------------------------------------------------------------------------

    def changed(self, news: Sequence[News]) -> None:
        """Users changed: tell them of their own choice at once, and everybody of what can be seen."""
        for item in news:
            change = item.change
            self._own_choice(change.user, change.chosen)
            # New settings, too, were applied to what Redis had been told.
            idle = change.status == OFFLINE and change.reason in (Reason.IDLE, Reason.SETTINGS)
            if idle and change.user in self._members:
                self._around.inputs.contradict(self.name, change.user)
            lost = change.status == OFFLINE and change.reason == Reason.DISCONNECTED
            self._around.counters.false_offline += lost and change.user in self._members
        self.fanout.changed([item.change.user for item in news if item.visible])

    def replaced(self) -> None:
        """The roster is another one: everybody gets a snapshot."""
        for user in list(self._members):
            entry = self.replica.roster.get(user)
            if entry is not None:
                self._own_choice(user, entry.chosen)
            if entry is None or entry.status == OFFLINE:
                self._around.inputs.contradict(self.name, user)
        self.fanout.replaced()

    def configured(self, idle_timeout_ms: int) -> None:
        """The team's idle timeout changed."""
        for connection in self.connections():
            self._tell_self(connection)

    def signed_out(self, user: str, session: str, version: int) -> None:
        """A session, or all of the user's, ended in this team; whoever joined after that `version` stays."""
        self._around.members.session_ended_in(self.name, user, session, version)

    def read_again(self, held: frozenset[tuple[str, str]], users: Sequence[str] | None) -> None:
        """Users were read, with None all: holds that Redis does not have were taken away, and are asked for anew.

        By a sign-out whose message was missed, or by mistake: the answer tells.
        """
        read = None if users is None else set(users)
        for hold in self._around.members.holds_of(self.name):
            if hold.version and hold.key not in held and (read is None or hold.user in read):
                self._around.store.let_go(hold)

    def forked(self) -> None:
        """Redis has another history than this worker: what it was told must be told again."""
        self._around.store.retell(self.name)

    def refused(self, refused: bool) -> None:
        """Redis refuses to let the team be read, or does not any more."""
        self.set_refused(refused)

    def _own_choice(self, user: str, chosen: str) -> None:
        if self._chosen.get(user, chosen) != chosen:
            self._chosen[user] = chosen
            for connection in self._members[user]:
                self._tell_self(connection)
