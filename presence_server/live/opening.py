"""From a hello to a welcome, and from one token to the next: who is it, may he come in, and what does he see first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from presence_server import errors
from presence_server.core import messages
from presence_server.core.connection import State
from presence_server.core.messages import Hello, Renew
from presence_server.live.arrivals import Arrival, Arrivals
from presence_server.live.connection import Connection, Membership
from presence_server.live.members import Members
from presence_server.live.partitions import Partitions
from presence_server.live.pulse import Pulse
from presence_server.live.spawn import Spawn
from presence_server.store.lane import PATIENCE_S


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


class Opening:
    """Carries out hello and renew.

    Args:
        partitions: where teams and sessions are.
        members: the connections.
        pulse: ends them when their token expires.
        verifier: checks tokens.
        spawn: starts tasks.
        heartbeat_ms: what is asked of clients.
        clock: a monotonic clock, seconds.
    """

    def __init__(
        self,
        *,
        partitions: Partitions,
        members: Members,
        pulse: Pulse,
        verifier: Verifier,
        spawn: Spawn,
        heartbeat_ms: int,
        clock: Callable[[], float],
    ) -> None:
        self._partitions = partitions
        self._members = members
        self._arrivals = Arrivals(partitions, members, spawn)
        self._pulse = pulse
        self._verifier = verifier
        self._heartbeat_ms = heartbeat_ms
        self._clock = clock

    def verify_now(self, token: str) -> Claims | None:
        """Verify a token with the keys at hand; None when one must be fetched first.

        Raises:
            errors.PresenceError: refused.
        """
        claims = self._verifier.verify_now(token)
        return None if claims is None else _with_teams(claims)

    async def open(self, connection: Connection, hello: Hello, claims: Claims | None) -> None:
        """Carry out a hello, with what `verify_now` has said of its token.

        Raises:
            errors.PresenceError: refused, with the close code to end the connection with.
            TimeoutError: Redis was out of reach for too long.
        """
        # As of now: however long it has to wait, that is when his last input was.
        active_s = self._clock() - hello.idle_ms / 1000
        async with asyncio.timeout(PATIENCE_S):
            if claims is None:
                claims = _with_teams(await self._verifier.verify(hello.token))
            # Before anybody makes room for it: who is refused takes nothing from those who are there.
            await self._check_session(claims)
            if not connection.is_open:
                return
            self._members.admit(connection, claims.user, _session(connection, claims))
            self._expire_with(connection, claims)
            told = self._replace(connection, hello.replaces) if hello.replaces is not None else None
            try:
                arrivals = await self._arrivals.join(connection, claims.teams, active_s, claims.issued_at_s)
            except BaseException:
                # What waits for Redis is to be no more than who waits for it.
                if told is not None:
                    told.cancel()
                raise
        if connection.state is not State.JOINING:
            return
        if not arrivals:
            raise errors.SignedOut("Expected a session that is signed in, got one that was signed out of its teams")
        self._welcome(connection, hello, arrivals, int(claims.expires_at_s * 1000))

    async def renew(self, connection: Connection, renew: Renew) -> None:
        """Exchange the token: teams added are joined, teams gone are left.

        Raises:
            errors.PresenceError: refused; the old token stays.
            TimeoutError: Redis was out of reach for too long; the old token stays.
        """
        added: list[Membership] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                claims = await self._renewed_claims(connection, renew)
                missing = [team for team in claims.teams if team not in connection.teams]
                kept = [team for team in claims.teams if team not in missing]
                active_s = max((m.hold.active_s for m in connection.memberships), default=self._clock())
                arrivals = await self._arrivals.join(
                    connection, missing, active_s, claims.issued_at_s, added, kept=kept
                )
        except BaseException:
            # What was joined for the new token goes with it.
            for membership in added:
                if membership in connection.memberships:
                    self._members.leave(connection, membership)
            raise
        if connection.state is not State.OPEN:
            return
        self._expire_with(connection, claims)
        for membership in connection.memberships:
            if membership.hold.team not in claims.teams:
                self._members.leave(connection, membership)
        connection.send(messages.ack(renew.id))
        self._arrivals.enter(connection, arrivals, {})

    async def _renewed_claims(self, connection: Connection, renew: Renew) -> Claims:
        try:
            claims = self.verify_now(renew.token) or _with_teams(await self._verifier.verify(renew.token))
        except errors.NotAllowed as exc:
            raise errors.BadToken(str(exc)) from None
        if (claims.user, _session(connection, claims)) != (connection.user, connection.session):
            raise errors.BadToken("Expected a token of the same user and session, got another's")
        return claims

    async def _check_session(self, claims: Claims) -> None:
        """Ask whether the session has signed out; once more if this worker lapsed meanwhile, for then it may have."""
        if claims.session is None:
            return
        lapses = -1
        while lapses != self._partitions.lapses:
            lapses = self._partitions.lapses
            if await self._partitions.is_signed_out(claims.user, claims.session):
                raise errors.SignedOut("Expected a session that is signed in, got one that has signed out")

    def _expire_with(self, connection: Connection, claims: Claims) -> None:
        now_s = self._clock()
        connection.expires_s = now_s + claims.expires_at_s - time.time()
        self._pulse.opened(connection, now_s)

    def _replace(self, connection: Connection, previous: str) -> asyncio.Future[Any] | None:
        """A tab names its previous connection, which ends now, wherever it is, if it is of the same user."""
        if previous.partition("-")[0] == self._members.id:
            self._members.replaced(connection.user, previous)
            return None
        return self._partitions.tell_workers({"replaced": [connection.user, previous]})

    def _welcome(self, connection: Connection, hello: Hello, arrivals: list[Arrival], token_expires_at_ms: int) -> None:
        connection.send(
            messages.welcome(
                user=connection.user,
                connection=connection.id,
                teams=[arrival.team.name for arrival in arrivals],
                heartbeat_ms=self._heartbeat_ms,
                server_time=self._partitions.now_ms(),
                token_expires_at=token_expires_at_ms,
            )
        )
        for team, users in hello.watch.items():
            connection.narrow(team, users)
        connection.opened(())
        self._arrivals.enter(connection, arrivals, hello.resume)
        if self._partitions.out_of_reach:
            connection.send(messages.feed(live=False))


def _with_teams(claims: Claims) -> Claims:
    if claims.all_teams or not claims.teams:
        raise errors.NotAllowed("Expected a token that names at least one team, got none")
    return claims


def anonymous_session(connection: Connection) -> str:
    """The key of a session without `sid`, which is one connection; no id begins with a tilde."""
    return f"~{connection.id}"


def _session(connection: Connection, claims: Claims) -> str:
    return claims.session if claims.session is not None else anonymous_session(connection)
