"""From a hello to a welcome, and from one token to the next: who is it, may he come in, and what does he see first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from presence_server import errors
from presence_server.core import messages
from presence_server.core.connection import State
from presence_server.core.messages import Hello, Position, Renew
from presence_server.live.connection import Connection
from presence_server.live.holds import Hold
from presence_server.store.queue import PATIENCE_S

if TYPE_CHECKING:
    from presence_server.live.connections import Connections
    from presence_server.live.worker import Worker


class Claims(Protocol):
    """What a verified token says (section 4 of the contract)."""

    @property
    def user(self) -> str: ...
    @property
    def teams(self) -> tuple[str, ...]: ...
    @property
    def session(self) -> str | None: ...
    @property
    def expires_at_s(self) -> float: ...
    @property
    def issued_at_s(self) -> float: ...
    @property
    def all_teams(self) -> bool: ...


class Verifier(Protocol):
    """Checks tokens; the edge has one."""

    def verify_now(self, token: str) -> Claims | None:
        """Verify with the keys at hand; None when one must be fetched first. Raises errors.BadToken."""

    async def verify(self, token: str) -> Claims:
        """Verify, fetching keys if need be. Raises errors.BadToken and errors.Unavailable."""


class _Joined(NamedTuple):
    hold: Hold
    chosen: str


class Opening:
    """Carries out hello and renew.

    Args:
        worker: the worker.
        connections: its connections.
    """

    def __init__(self, worker: Worker, connections: Connections) -> None:
        self._worker = worker
        self._connections = connections

    def verify_now(self, token: str) -> Claims | None:
        """Verify a token with the keys at hand; None when one must be fetched first.

        Raises:
            errors.PresenceError: refused.
        """
        claims = self._worker.verifier.verify_now(token)
        return None if claims is None else _with_teams(claims)

    async def open(self, connection: Connection, hello: Hello, claims: Claims | None) -> None:
        """Carry out a hello, with what `verify_now` has said of its token.

        Raises:
            errors.PresenceError: refused, with the close code to end the connection with.
            TimeoutError: Redis was out of reach for too long.
        """
        async with asyncio.timeout(PATIENCE_S):
            if claims is None:
                claims = await self._verify(hello.token)
            if connection.state is State.CLOSED:
                return
            self._identify(connection, claims)
            if hello.replaces is not None:
                self._connections.replace(connection, hello.replaces)
            if claims.session is not None and await self._worker.store.is_signed_out(claims.user, claims.session):
                raise errors.SignedOut("Expected a session that is signed in, got one that has signed out")
            active_s = time.monotonic() - hello.idle_ms / 1000
            joined = await self._join(connection, claims.teams, active_s, claims.issued_at_s)
        if connection.state is not State.JOINING:
            return
        if not joined:
            raise errors.SignedOut("Expected a session that is signed in, got one that was signed out of its teams")
        self._welcome(connection, hello, joined, int(claims.expires_at_s * 1000))

    async def renew(self, connection: Connection, renew: Renew) -> None:
        """Exchange the token: teams added are joined, teams gone are left.

        Raises:
            errors.PresenceError: refused; the old token stays.
            TimeoutError: Redis was out of reach for too long.
        """
        async with asyncio.timeout(PATIENCE_S):
            try:
                claims = self.verify_now(renew.token) or await self._verify(renew.token)
            except errors.NotAllowed as exc:
                raise errors.BadToken(str(exc)) from None
            if (claims.user, _session(connection, claims)) != (connection.user, connection.session):
                raise errors.BadToken("Expected a token of the same user and session, got another's")
            added = [team for team in claims.teams if team not in connection.teams]
            active_s = max((hold.active_s for hold in connection.holds), default=time.monotonic())
            joined = await self._join(connection, added, active_s, claims.issued_at_s)
        if connection.state is not State.OPEN:
            return
        self._expire_with(connection, claims)
        for hold in connection.holds:
            if hold.team not in claims.teams:
                self._connections.detach(connection, hold)
                self._worker.holds.close(hold)
        connection.send(messages.ack(renew.id))
        self._enter(connection, joined, {})

    async def _verify(self, token: str) -> Claims:
        """Verify a token, fetching keys if need be."""
        return _with_teams(await self._worker.verifier.verify(token))

    def _identify(self, connection: Connection, claims: Claims) -> None:
        self._connections.admit(connection, claims.user)
        connection.session = _session(connection, claims)
        self._expire_with(connection, claims)

    def _expire_with(self, connection: Connection, claims: Claims) -> None:
        now_s = time.monotonic()
        connection.expires_s = now_s + claims.expires_at_s - time.time()
        self._worker.pulse.opened(connection, now_s)

    async def _join(
        self, connection: Connection, teams: Sequence[str], active_s: float, issued_at_s: float
    ) -> list[_Joined]:
        """Join teams, and wait until their rosters contain all that was acknowledged anywhere before."""
        if connection.state is State.CLOSED:
            # It ended while its token or session was looked up: nobody would give back what is opened now.
            return []
        worker = self._worker
        opened = [worker.use_team(name) for name in teams]
        try:
            holds = [
                worker.holds.open(name, connection.user, connection.session, active_s, issued_at_s) for name in teams
            ]
            # From here on whatever ends the connection gives these back.
            connection.holds += tuple(holds)
            replies = await asyncio.gather(
                *[
                    worker.store.join(
                        hold.team, hold.user, hold.session, hold.connections, hold.active_s, hold.issued_at_s
                    )
                    for hold in holds
                ]
            )
            joined = []
            for hold, team, (reply, chosen) in zip(holds, opened, replies, strict=True):
                if chosen is None or hold.ended or reply.mark.version < hold.refused_at:
                    self._connections.leave_team(hold)
                else:
                    hold.version = max(hold.version, reply.mark.version)
                    await team.replica.caught_up(reply.mark)
                    joined.append(_Joined(hold, chosen))
            return [item for item in joined if not item.hold.ended]
        finally:
            for team in opened:
                team.pending -= 1

    def _welcome(self, connection: Connection, hello: Hello, joined: list[_Joined], token_expires_at_ms: int) -> None:
        worker = self._worker
        connection.send(
            messages.welcome(
                user=connection.user,
                connection=connection.id,
                teams=[item.hold.team for item in joined],
                heartbeat_ms=worker.settings.heartbeat_interval_ms,
                server_time=worker.store.now_ms(),
                token_expires_at=token_expires_at_ms,
            )
        )
        for team, users in hello.watch.items():
            connection.narrow(team, users)
        connection.opened(())
        self._enter(connection, joined, hello.resume)
        if not worker.live:
            connection.send(messages.FEED_STALE)
        self._connections.opened(connection)

    def _enter(self, connection: Connection, joined: list[_Joined], resume: Mapping[str, Position]) -> None:
        for hold, chosen in joined:
            connection.teams += (hold.team,)
            self._worker.teams[hold.team].add(connection, chosen, resume.get(hold.team))


def _with_teams(claims: Claims) -> Claims:
    if claims.all_teams or not claims.teams:
        raise errors.NotAllowed("Expected a token that names at least one team, got none")
    return claims


def anonymous_session(connection: Connection) -> str:
    """The key of a session without `sid`, which is one connection; no id begins with a tilde."""
    return f"~{connection.id}"


def _session(connection: Connection, claims: Claims) -> str:
    return claims.session if claims.session is not None else anonymous_session(connection)
