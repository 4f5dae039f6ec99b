"""All connections of a worker: what they send is carried out, and what ends them is told to Redis."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from presence_server import errors
from presence_server.core import messages
from presence_server.core.codes import REPLACED_BY_ITSELF, CloseCode
from presence_server.core.connection import Rejected, State
from presence_server.core.messages import Command, Explain, Heartbeat, Hello, Logout, MessageId, Renew, SetStatus, Watch
from presence_server.live.connection import Connection, Socket
from presence_server.live.holds import Hold
from presence_server.live.opening import Opening, anonymous_session
from presence_server.live.turns import Turns
from presence_server.store.queue import PATIENCE_S

if TYPE_CHECKING:
    from presence_server.live.worker import Worker

# Messages that may arrive on the heels of a hello before it has been carried out.
_BACKLOG: Final = 64
# How long a team goes on refusing leases of a session that logged out; the session itself is refused for much longer.
_REFUSE_MS: Final = 600_000
# Codes for peers that do not react, and how long such a one may take to read why.
_UNHEARD: Final = frozenset({CloseCode.INTERNAL_ERROR, CloseCode.TOO_SLOW})
_LAST_WORDS_S: Final = 1.0

logger: Final = logging.getLogger(__name__)


class Connections:
    """The connections, by id and by user.

    Args:
        worker: whose they are.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._opening = Opening(worker, self)
        self._by_id: dict[str, Connection] = {}
        # Lists: nearly all users have one or two, and a dict would cost 200 bytes more for each.
        self._by_user: dict[str, list[Connection]] = {}
        self._backlog: dict[Connection, list[bytes]] = {}
        self._turns = Turns()
        self._tasks: set[asyncio.Task[None]] = set()
        self._made = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Connection]:
        """Every connection, the oldest first."""
        return list(self._by_id.values())

    def of_user(self, user: str) -> list[Connection]:
        """A user's connections, the oldest first."""
        return list(self._by_user.get(user, ()))

    # --- what the socket reports ------------------------------------------------------------------------------------

    def accept(self, socket: Socket) -> Connection:
        """Take on a socket whose handshake is done."""
        now_s = time.monotonic()
        self._made += 1
        connection = Connection(f"{self._worker.id}-{self._made:x}", socket, now_s)
        self._by_id[connection.id] = connection
        self._worker.pulse.add(connection, now_s)
        return connection

    def received(self, connection: Connection, data: bytes) -> None:
        """A text frame came in."""
        now_s = time.monotonic()
        connection.heard_s = now_s
        if connection.state is State.OPEN:
            self._take(connection, data, now_s)
        elif connection.state is not State.CLOSED:
            self._put_off(connection, data)

    def _take(self, connection: Connection, data: bytes, now_s: float) -> None:
        self._worker.counters.messages += 1
        try:
            command = connection.receive(data, now_s)
        except Rejected as exc:
            # A hello that is refused for good ends the connection; later on it stays.
            self.refuse(connection, exc.error, exc.identity, fatal=connection.state is State.EXPECTED)
        except errors.PresenceError as exc:
            self.refuse(connection, exc)
        else:
            self._carry_out(connection, command, now_s)

    def garbled(self, connection: Connection, why: str) -> None:
        """Something came in that is not a text frame of bearable size."""
        self.refuse(connection, errors.BadFrame(why))

    def lost(self, connection: Connection, code: int) -> None:
        """The socket is gone; without logout, so what is left of the connection is forgiven (rule 6)."""
        if connection.state is not State.CLOSED:
            self._silence(connection)
            self._turns.add(self._forget, connection, code)

    def paused(self, connection: Connection) -> None:
        """The socket's buffer is full."""
        if connection.state is State.CLOSED or connection.blocked_s:
            return
        connection.paused(time.monotonic())
        # What it asks for would only lengthen what it does not read.
        connection.socket.pause_reading()
        self._worker.pulse.blocked(connection)
        for team in connection.teams:
            self._worker.teams[team].fanout.block(connection)

    def resumed(self, connection: Connection) -> None:
        """The socket takes data again."""
        if connection.state is State.CLOSED or not connection.resumed():
            return
        self._worker.pulse.unblocked(connection)
        connection.socket.resume_reading()
        for team in connection.teams:
            if connection.blocked_s:
                return
            self._worker.teams[team].fanout.unblock(connection)

    # --- what it asks for -------------------------------------------------------------------------------------------

    def _carry_out(self, connection: Connection, command: Command, now_s: float) -> None:
        if type(command) is Heartbeat:
            self._worker.counters.heartbeats += 1
            active_s = now_s - command.idle_ms / 1000
            for hold in connection.holds:
                self._worker.holds.touch(hold, active_s, now_s)
            if command.id is not None:
                connection.send(messages.ack(command.id))
        elif type(command) is SetStatus:
            self._set_status(connection, command, now_s)
        elif type(command) is Hello:
            self._open(connection, command)
        elif type(command) is Watch:
            self._start(connection, self._watch(connection, command), command.id)
        elif type(command) is Explain:
            self._start(connection, self._explain(connection, command), command.id)
        elif type(command) is Renew:
            self._start(connection, self._opening.renew(connection, command), command.id)
        elif type(command) is Logout:
            self._logout(connection)

    def _put_off(self, connection: Connection, data: bytes) -> None:
        backlog = self._backlog.setdefault(connection, [])
        backlog.append(data)
        if len(backlog) > _BACKLOG:
            self.end(connection, CloseCode.RATE_BROKEN, "too many messages before welcome")
        elif connection.state is State.EXPECTED and not connection.greeted:
            connection.greeted = True
            self._turns.add(self._greet, connection)

    def _greet(self, connection: Connection) -> None:
        """Take what has come before and up to the hello."""
        backlog = self._backlog.get(connection, [])
        while backlog and connection.state is State.EXPECTED:
            self._take(connection, backlog.pop(0), time.monotonic())
        connection.greeted = connection.state is not State.EXPECTED

    def _open(self, connection: Connection, hello: Hello) -> None:
        # The costly part at once, so that it is in the turn's time: tasks made in one turn begin all in the next.
        try:
            claims = self._opening.verify_now(hello.token)
        except errors.PresenceError as exc:
            self.refuse(connection, exc)
        else:
            self._start(connection, self._opening.open(connection, hello, claims), None)

    def opened(self, connection: Connection) -> None:
        """The hello has been carried out: go on with what came on its heels."""
        self._worker.counters.connections_opened += 1
        for data in self._backlog.pop(connection, ()):
            self.received(connection, data)

    def _set_status(self, connection: Connection, command: SetStatus, now_s: float) -> None:
        teams = connection.teams if command.team is None else (command.team,)
        for hold in connection.holds:
            if hold.team in teams:
                hold.active_s = now_s
        choices = [self._worker.store.choose(team, connection.user, command.status, by_admin=False) for team in teams]
        asyncio.gather(*choices).add_done_callback(lambda done: self._answer(connection, command.id, done))

    def _answer(self, connection: Connection, identity: MessageId, done: asyncio.Future[Any]) -> None:
        if done.cancelled():
            return
        failure = done.exception()
        if failure is None:
            connection.send(messages.ack(identity))
        elif isinstance(failure, errors.PresenceError):
            self.refuse(connection, failure, identity, fatal=False)
        else:
            logger.error("A request failed", exc_info=failure)

    async def _watch(self, connection: Connection, command: Watch) -> None:
        team = self._worker.teams[command.team]
        async with asyncio.timeout(PATIENCE_S):
            await team.replica.caught_up(team.mark)
        if connection.state is State.OPEN and command.team in connection.teams:
            connection.narrow(command.team, command.users)
            connection.send(messages.ack(command.id))
            team.fanout.rewatch(connection)

    async def _explain(self, connection: Connection, command: Explain) -> None:
        detail = await self._worker.access.read_user(command.team, connection.user)
        connection.send(messages.explanation(command.id, command.team, detail))

    def _logout(self, connection: Connection) -> None:
        store = self._worker.store
        user, session = connection.user, connection.session
        teams = connection.teams
        if session != anonymous_session(connection):
            store.refuse_session(user, session)
        self.end_session(user, session, without=teams)
        store.tell_workers({"signed_out": [user, session, list(teams)]})
        for team in teams:
            store.sign_out(team, user, session, refuse_ms=_REFUSE_MS)

    def _start(self, connection: Connection, work: Any, identity: MessageId) -> None:
        task = asyncio.create_task(self._run(connection, work, identity))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, connection: Connection, work: Any, identity: MessageId) -> None:
        opening = connection.state is State.JOINING
        try:
            await work
        except errors.PresenceError as exc:
            self.refuse(connection, exc, identity, fatal=opening)
        except TimeoutError:
            unavailable = errors.Unavailable("Expected Redis within reach, got no answer in time; try again")
            self.refuse(connection, unavailable, identity, fatal=opening)

    # --- ends -------------------------------------------------------------------------------------------------------

    def refuse(
        self, connection: Connection, error: errors.PresenceError, identity: MessageId = None, *, fatal: bool = True
    ) -> None:
        """Answer with an error, or end the connection if the error has a close code and `fatal` allows it."""
        if fatal and error.close_code is not None:
            self._worker.counters.refusals[str(error.close_code)] += 1
            self.end(connection, error.close_code, str(error))
        else:
            self._worker.counters.refusals[error.code] += 1
            connection.send(messages.error(error, identity))

    def end(self, connection: Connection, code: CloseCode, reason: str | None = None) -> None:
        """End a connection from this side; it is forgiven like any other that is lost."""
        if connection.state is State.CLOSED:
            return
        self._silence(connection)
        self._forget(connection, code)
        connection.socket.close(code, code.reason if reason is None else reason)
        if code in _UNHEARD:
            # The peer will hardly answer, and what lies in the buffer is not to stay there.
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, connection.socket.abort)

    def end_session(self, user: str, session: str, without: Iterable[str] = ()) -> None:
        """A session was signed out: close its connections here, and sign it out of their teams but those `without`."""
        for connection in self.of_user(user):
            if connection.session != session:
                continue
            for hold in connection.holds:
                if not hold.ended:
                    self._worker.holds.end(hold)
                    if hold.team not in without:
                        self._worker.store.sign_out(hold.team, user, session, refuse_ms=_REFUSE_MS)
            self.end(connection, CloseCode.SIGNED_OUT)

    def leave_team(self, hold: Hold) -> None:
        """A session was signed out of one team: its connections leave it, and end if it was their last."""
        self._worker.holds.end(hold)
        for connection in self.of_user(hold.user):
            if hold in connection.holds:
                self.detach(connection, hold)
                # One that is still on its way in finds out by itself which of its teams are left.
                if connection.state is State.OPEN and not connection.teams:
                    self.end(connection, CloseCode.SIGNED_OUT)

    def detach(self, connection: Connection, hold: Hold) -> None:
        """A connection is in a team no more; the hold itself is the caller's to end or to close."""
        connection.holds = tuple([other for other in connection.holds if other is not hold])
        connection.teams = tuple([team for team in connection.teams if team != hold.team])
        self._worker.teams[hold.team].discard(connection)

    def admit(self, connection: Connection, user: str) -> None:
        """A connection has a user: make room for it among his others (section 3)."""
        connection.user = user
        mine = self._by_user.setdefault(user, [])
        mine.append(connection)
        for oldest in mine[: max(0, len(mine) - self._worker.settings.max_connections_per_user)]:
            self._worker.counters.refusals[str(CloseCode.REPLACED)] += 1
            self.end(oldest, CloseCode.REPLACED)

    def replace(self, connection: Connection, previous: str) -> None:
        """A tab names its previous connection, which ends now, wherever it is, if it is of the same user."""
        if previous.partition("-")[0] == self._worker.id:
            self.replaced(connection.user, previous)
        else:
            self._worker.store.tell_workers({"replaced": [connection.user, previous]})

    def replaced(self, user: str, identity: str) -> None:
        """End a connection that its own tab has given up, if it is here."""
        connection = self._by_id.get(identity)
        if connection is not None and connection.user == user:
            self.end(connection, CloseCode.REPLACED, REPLACED_BY_ITSELF)

    def _silence(self, connection: Connection) -> None:
        """Nobody may write to a connection that has ended; the rest can wait for its turn."""
        connection.closed()
        for team in connection.teams:
            self._worker.teams[team].discard(connection)

    def _forget(self, connection: Connection, code: int) -> None:
        self._worker.counters.connections_closed[code] += 1
        self._by_id.pop(connection.id, None)
        self._backlog.pop(connection, None)
        self._worker.pulse.discard(connection)
        mine = self._by_user.get(connection.user)
        if mine is not None:
            mine.remove(connection)
            if not mine:
                del self._by_user[connection.user]
        for hold in connection.holds:
            self._worker.holds.close(hold)
        connection.holds = ()
