"""From sockets to calls: what a connection sends is carried out, and what ends it is told to Redis.

Requests of one connection that change the same thing are done one after another, in the order they were sent: what was
asked last is what holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from presence_server import errors
from presence_server.core import messages
from presence_server.core.codes import CloseCode
from presence_server.core.connection import Rejected, State
from presence_server.core.messages import Command, Explain, Heartbeat, Hello, Logout, MessageId, Renew, SetStatus, Watch
from presence_server.live.access import TeamAccess
from presence_server.live.connection import Connection, Socket
from presence_server.live.counters import Counters
from presence_server.live.members import Members
from presence_server.live.opening import Opening, anonymous_session
from presence_server.live.partitions import Partitions
from presence_server.live.pulse import Pulse
from presence_server.live.spawn import Spawn
from presence_server.live.turns import Turns
from presence_server.store.lane import PATIENCE_S

# Messages that may wait: for a hello to be carried out, or for the request before them.
_BACKLOG: Final = 64
# How long a team goes on refusing holds of a session that logged out; the session itself is refused for much longer.
REFUSE_MS: Final = 600_000

logger: Final = logging.getLogger(__name__)


class Connections:
    """What the sockets of a worker report to.

    Args:
        partitions: where teams are, and changes go.
        members: the connections.
        opening: carries out hello and renew.
        access: explains.
        pulse: keeps time.
        counters: where things are counted.
        spawn: starts tasks.
        clock: a monotonic clock, seconds.
    """

    def __init__(
        self,
        *,
        partitions: Partitions,
        members: Members,
        opening: Opening,
        access: TeamAccess,
        pulse: Pulse,
        counters: Counters,
        spawn: Spawn,
        clock: Callable[[], float],
    ) -> None:
        self._partitions = partitions
        self._members = members
        self._opening = opening
        self._access = access
        self._pulse = pulse
        self._counters = counters
        self._spawn = spawn
        self._clock = clock
        # With when each message came: input is as old as that.
        self._backlog: dict[Connection, list[tuple[bytes, float]]] = {}
        # Requests that wait for the one before them; there is an entry while one is under way.
        self._in_order: dict[Connection, deque[Command]] = {}
        self._turns = Turns()

    # --- what the socket reports ------------------------------------------------------------------------------------

    def accept(self, socket: Socket) -> Connection:
        """Take on a socket whose handshake is done."""
        return self._members.accept(socket)

    def received(self, connection: Connection, data: bytes) -> None:
        """A text frame came in."""
        now_s = self._clock()
        connection.heard_s = now_s
        if connection.state is State.OPEN:
            self._take(connection, data, now_s)
        elif connection.state is not State.CLOSED:
            self._put_off(connection, data, now_s)

    def garbled(self, connection: Connection, why: str) -> None:
        """Something came in that is not a text frame of bearable size."""
        self.refuse(connection, errors.BadFrame(why))

    def lost(self, connection: Connection, code: int) -> None:
        """The socket is gone; without logout, so what is left of the connection is forgiven (rule 6)."""
        if connection.state is not State.CLOSED:
            self._members.silence(connection)
            self._turns.add(self._members.forget, connection, code)
        self._backlog.pop(connection, None)

    def paused(self, connection: Connection) -> None:
        """The socket's buffer is full."""
        if connection.state is State.CLOSED or connection.blocked_s:
            return
        connection.paused(self._clock())
        # What it asks for would only lengthen what it does not read.
        connection.socket.pause_reading()
        self._pulse.blocked(connection)
        for membership in connection.memberships:
            membership.room.block(connection)

    def resumed(self, connection: Connection) -> None:
        """The socket takes data again."""
        if connection.state is State.CLOSED or not connection.resumed():
            return
        self._pulse.unblocked(connection)
        connection.socket.resume_reading()
        for membership in connection.memberships:
            if connection.blocked_s:
                return
            membership.room.unblock(connection)

    # --- what it asks for -------------------------------------------------------------------------------------------

    def _take(self, connection: Connection, data: bytes, now_s: float) -> None:
        self._counters.messages += 1
        try:
            command = connection.receive(data, now_s)
        except Rejected as exc:
            # A hello that is refused for good ends the connection; later on it stays.
            self.refuse(connection, exc.error, exc.identity, fatal=connection.state is State.EXPECTED)
        except errors.PresenceError as exc:
            self.refuse(connection, exc)
        else:
            self._carry_out(connection, command, now_s)

    def _carry_out(self, connection: Connection, command: Command, now_s: float) -> None:
        if type(command) is Heartbeat:
            self._counters.heartbeats += 1
            active_s = now_s - command.idle_ms / 1000
            for membership in connection.memberships:
                hold = membership.hold
                self._partitions.of(hold.team).inputs.touch(hold, active_s, now_s)
            if command.id is not None:
                connection.send(messages.ack(command.id))
        elif type(command) is Hello:
            self._open(connection, command)
        elif type(command) is Logout:
            self._logout(connection)
        elif type(command) is Explain:
            self._start(connection, self._explain(connection, command), command.id)
        elif (waiting := self._in_order.get(connection)) is not None:
            waiting.append(command)
            if len(waiting) > _BACKLOG:
                self._members.end(connection, CloseCode.RATE_BROKEN, "too many requests before the answer to one")
        elif type(command) is SetStatus:
            self._set_status(connection, command, now_s)
        elif type(command) is Watch:
            self._start_in_order(connection, self._watch(connection, command), command.id)
        elif type(command) is Renew:
            self._start_in_order(connection, self._opening.renew(connection, command), command.id)

    def _put_off(self, connection: Connection, data: bytes, now_s: float) -> None:
        backlog = self._backlog.setdefault(connection, [])
        backlog.append((data, now_s))
        if len(backlog) > _BACKLOG:
            self.end(connection, CloseCode.RATE_BROKEN, "too many messages before welcome")
        elif connection.state is State.EXPECTED and not connection.greeted:
            connection.greeted = True
            self._turns.add(self._greet, connection)

    def _greet(self, connection: Connection) -> None:
        """Take what has come before and up to the hello."""
        backlog = self._backlog.get(connection, [])
        while backlog and connection.state is State.EXPECTED:
            self._take(connection, *backlog.pop(0))
        connection.greeted = connection.state is not State.EXPECTED

    def _open(self, connection: Connection, hello: Hello) -> None:
        # The costly part at once, so that it is in the turn's time: tasks made in one turn begin all in the next.
        try:
            claims = self._opening.verify_now(hello.token)
        except errors.PresenceError as exc:
            self.refuse(connection, exc)
        else:
            self._start(connection, self._greeted(connection, hello, claims), None)

    async def _greeted(self, connection: Connection, hello: Hello, claims: Any) -> None:
        await self._opening.open(connection, hello, claims)
        if connection.state is State.OPEN:
            self._counters.connections_opened += 1
            for data, at_s in self._backlog.pop(connection, ()):
                if connection.is_open:
                    self._take(connection, data, at_s)

    def _set_status(self, connection: Connection, command: SetStatus, now_s: float) -> None:
        teams = connection.teams if command.team is None else (command.team,)
        if command.team is not None and command.team not in connection.teams:
            raise errors.NotAMember(f"Expected a team of this connection, got '{command.team}'")
        for membership in connection.memberships:
            if membership.hold.team in teams:
                membership.hold.active_s = now_s
        choices = {
            team: self._partitions.of(team).store.choose(team, connection.user, command.status, connection.user)
            for team in teams
        }
        done = asyncio.gather(*choices.values(), return_exceptions=True)
        done.add_done_callback(lambda _: self._answer(connection, command.id, choices))

    def _answer(self, connection: Connection, identity: MessageId, choices: Mapping[str, asyncio.Future[Any]]) -> None:
        failures = {team: choice.exception() for team, choice in choices.items() if not choice.cancelled()}
        failed = {team: failure for team, failure in failures.items() if failure is not None}
        if not failed:
            connection.send(messages.ack(identity))
            return
        failure = next(iter(failed.values()))
        if len(failed) < len(choices) and all(isinstance(each, errors.Unavailable) for each in failed.values()):
            # A team that is in trouble keeps nobody from choosing in the others.
            names = ", ".join(f"'{team}'" for team in failed)
            failure = errors.Unavailable(
                f"Expected an answer of all teams, got none of {names}; it holds in the others"
            )
        self._failed(connection, identity, failure, opening=False)

    async def _watch(self, connection: Connection, command: Watch) -> None:
        team = self._partitions.of(command.team).teams.get(command.team)
        if team is None or command.team not in connection.teams:
            raise errors.NotAMember(f"Expected a team of this connection, got '{command.team}'")
        async with asyncio.timeout(PATIENCE_S):
            await team.replica.caught_up(team.mark)
        if connection.state is State.OPEN and command.team in connection.teams:
            connection.narrow(command.team, command.users)
            connection.send(messages.ack(command.id))
            team.fanout.rewatch(connection)

    async def _explain(self, connection: Connection, command: Explain) -> None:
        async with asyncio.timeout(PATIENCE_S):
            detail = await self._access.read_user(command.team, connection.user)
        connection.send(messages.explanation(command.id, command.team, detail))

    def _logout(self, connection: Connection) -> None:
        user, session = connection.user, connection.session
        if session != anonymous_session(connection):
            self._partitions.refuse_session(user, session)
        self._partitions.tell_workers({"signed_out": [user, session]})
        for team in self._members.end_session(user, session):
            self._partitions.of(team).store.sign_out(team, user, session, refuse_ms=REFUSE_MS)

    # --- work that takes its time -----------------------------------------------------------------------------------

    def _start_in_order(self, connection: Connection, work: Coroutine[Any, Any, None], identity: MessageId) -> None:
        self._in_order[connection] = deque()
        self._start(connection, self._and_what_waits(connection, work, identity), identity)

    async def _and_what_waits(
        self, connection: Connection, work: Coroutine[Any, Any, None], identity: MessageId
    ) -> None:
        try:
            await self._run(connection, work, identity)
        finally:
            waiting = self._in_order.pop(connection)
            while waiting and connection.state is State.OPEN:
                command = waiting.popleft()
                try:
                    self._carry_out(connection, command, self._clock())
                except errors.PresenceError as exc:
                    self.refuse(connection, exc, getattr(command, "id", None), fatal=False)
                if (again := self._in_order.get(connection)) is not None:
                    again.extend(waiting)
                    break

    def _start(self, connection: Connection, work: Coroutine[Any, Any, None], identity: MessageId) -> None:
        self._spawn.work(
            self._run(connection, work, identity),
            lambda failure: self._failed(connection, identity, failure, opening=connection.state is not State.OPEN),
        )

    async def _run(self, connection: Connection, work: Coroutine[Any, Any, None], identity: MessageId) -> None:
        opening = connection.state is State.JOINING
        try:
            await work
        except (errors.PresenceError, TimeoutError) as exc:
            self._failed(connection, identity, exc, opening=opening)

    def _failed(self, connection: Connection, identity: MessageId, failure: BaseException, *, opening: bool) -> None:
        if isinstance(failure, TimeoutError):
            failure = errors.Unavailable("Expected Redis within reach, got no answer in time; try again")
        if isinstance(failure, errors.PresenceError):
            # Who has gone needs no answer, and what failed may have done so for that.
            if connection.is_open:
                self.refuse(connection, failure, identity, fatal=opening)
        else:
            logger.error("A request failed, its connection is closed", exc_info=failure)
            self._counters.refusals[str(int(CloseCode.INTERNAL_ERROR))] += 1
            self.end(connection, CloseCode.INTERNAL_ERROR, CloseCode.INTERNAL_ERROR.reason)

    # --- ends -------------------------------------------------------------------------------------------------------

    def refuse(
        self, connection: Connection, error: errors.PresenceError, identity: MessageId = None, *, fatal: bool = True
    ) -> None:
        """Answer with an error, or end the connection if the error has a close code and `fatal` allows it."""
        if fatal and error.close_code is not None:
            self._counters.refusals[str(int(error.close_code))] += 1
            self.end(connection, error.close_code, str(error))
        else:
            self._counters.refusals[error.code] += 1
            connection.send(messages.error(error, identity))

    def end(self, connection: Connection, code: int, reason: str) -> None:
        """End a connection from this side; it is forgiven like any other that is lost."""
        self._backlog.pop(connection, None)
        self._members.end(connection, code, reason)
