"""A team on this worker: its replica, its sockets, and what its users here must be told of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from presence_server.core import messages
from presence_server.core.messages import Position
from presence_server.core.roster import Mark, News
from presence_server.live.connection import Connection
from presence_server.live.fanout import FanOut
from presence_server.live.replica import Replica

if TYPE_CHECKING:
    from presence_server.live.worker import Worker


class Team:
    """One team on this worker.

    Attributes:
        name: the team's id.
        replica: its roster.
        fanout: its sockets.
        followed: whether its channel has been subscribed to.
        pending: connections that are on their way in: the team must stay.
    """

    def __init__(self, name: str, worker: Worker) -> None:
        self.name = name
        self.followed = False
        self.pending = 0
        self._worker = worker
        self._members: dict[str, list[Connection]] = {}
        self._chosen: dict[str, str] = {}
        self.replica = Replica(name, worker.store, self, on_out_of_reach=worker.store.down)
        self.fanout = FanOut(
            name, self.replica.roster, worker.settings.coalesce_s, worker.counters, worker.store.now_ms
        )

    @property
    def empty(self) -> bool:
        """Whether nobody here needs the team any more."""
        return not (self._members or self.pending)

    def take_resyncs(self) -> int:
        """How often the roster was read again because something was missed, since last asked."""
        count, self.replica.resyncs = self.replica.resyncs, 0
        return count

    def close(self) -> None:
        """Nobody here needs the team any more."""
        self.replica.close()
        self.fanout.close()

    @property
    def mark(self) -> Mark:
        """What the roster stands for."""
        return self.replica.roster.mark

    # --- connections ------------------------------------------------------------------------------------------------

    def add(self, connection: Connection, chosen: str, resume: Position | None) -> None:
        """Bring a connection in: tell it of itself, then of the team."""
        self._members.setdefault(connection.user, []).append(connection)
        # What the feed has told meanwhile is newer than the answer to the join.
        entry = self.replica.roster.get(connection.user)
        self._chosen[connection.user] = entry.chosen if entry is not None else chosen
        self._tell_self(connection)
        self.fanout.add(connection, resume)

    def discard(self, connection: Connection) -> None:
        """A connection is gone."""
        members = self._members.get(connection.user)
        if members is not None and connection in members:
            members.remove(connection)
            self.fanout.discard(connection)
            if not members:
                del self._members[connection.user]
                del self._chosen[connection.user]

    def _tell_self(self, connection: Connection) -> None:
        connection.send(messages.self_state(self.name, self._chosen[connection.user], self.replica.idle_timeout_ms))

    # --- what the replica tells -------------------------------------------------------------------------------------

    def changed(self, news: Sequence[News]) -> None:
        """Users changed: tell them of their own choice at once, and everybody of what can be seen."""
        for item in news:
            self._own_choice(item.change.user, item.change.chosen)
        self.fanout.changed([item.change.user for item in news if item.visible])

    def replaced(self) -> None:
        """The roster is another one: everybody gets a snapshot."""
        for user in list(self._members):
            entry = self.replica.roster.get(user)
            if entry is not None:
                self._own_choice(user, entry.chosen)
        self.fanout.replaced()

    def configured(self, idle_timeout_ms: int) -> None:
        """The team's idle timeout changed."""
        self._worker.holds.reconsider(self.name)
        for connections in self._members.values():
            for connection in connections:
                self._tell_self(connection)

    def signed_out(self, user: str, session: str, version: int) -> None:
        """A session, or all of the user's, ended in this team; whoever joined after that `version` stays."""
        self.fanout.flush()
        self._worker.session_ended(self.name, user, session, version)

    def _own_choice(self, user: str, chosen: str) -> None:
        if self._chosen.get(user, chosen) != chosen:
            self._chosen[user] = chosen
            for connection in self._members[user]:
                self._tell_self(connection)
