"""A hold: what stands in Redis for all open connections of one session in one team on one worker."""

from __future__ import annotations


class Hold:
    """The connections of one session in one team on this worker.

    Attributes:
        team, user, session: whose they are.
        connections: how many are open; with none left, they are forgiven.
        active_s: the user's latest input on any of them, by the monotonic clock.
        told_s: the latest input that Redis has been told of.
        issued_at_s: the newest `iat` among their tokens.
        version: the team's version after the last join; 0 until Redis has answered one.
        refused_at: the version of a sign-out that came while a join was under way; a join before it is void.
        ended: signed out: what is left of it in Redis is to go, unforgiven.
        is_new: a connection has come that Redis has not been told of.
        sent: whether Redis may have it.
    """

    __slots__ = (
        "active_s",
        "connections",
        "ended",
        "is_new",
        "issued_at_s",
        "refused_at",
        "sent",
        "session",
        "team",
        "told_s",
        "user",
        "version",
    )

    def __init__(self, team: str, user: str, session: str, active_s: float) -> None:
        self.team = team
        self.user = user
        self.session = session
        self.connections = 0
        self.active_s = active_s
        self.told_s = active_s
        self.issued_at_s = 0.0
        self.version = 0
        self.refused_at = 0
        self.ended = False
        self.is_new = False
        self.sent = False

    @property
    def key(self) -> tuple[str, str]:
        """User and session."""
        return self.user, self.session

    @property
    def gone(self) -> bool:
        """Whether nothing of it is to stand in Redis."""
        return self.ended or not self.connections
