"""The tree of errors.

Each error carries what every edge needs to tell it: the wire code of section 5 of the contract, the HTTP
status of section 6 and, where it ends a connection, the WebSocket close code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class PresenceError(Exception):
    """Base of everything this package raises on purpose; its text is fit to be shown to a client."""

    code: ClassVar[str] = "bad_message"
    title: ClassVar[str] = "Bad request"
    http_status: ClassVar[int] = 400
    close_code: ClassVar[int | None] = None


class BadMessage(PresenceError):
    """A message or request whose fields are not of the contract's types."""


class BadFrame(BadMessage):
    """Not text, not JSON, or larger than allowed: the peer does not speak the protocol at all."""

    close_code = 4505


class TooLarge(BadFrame):
    code = "too_large"
    title = "Content too large"
    http_status = 413


class UnsupportedMediaType(PresenceError):
    code = "unsupported_media_type"
    title = "Unsupported media type"
    http_status = 415


class UnknownType(PresenceError):
    code = "unknown_type"
    title = "Unknown message type"


class StatusNotSelectable(PresenceError):
    code = "status_not_selectable"
    title = "Status cannot be chosen"
    http_status = 422


class UnknownStatus(PresenceError):
    code = "unknown_status"
    title = "Unknown status"
    http_status = 422


class BadSetting(PresenceError):
    """A team setting out of its range."""

    code = "bad_setting"
    title = "Setting out of range"
    http_status = 422


class TooManyUsers(PresenceError):
    code = "too_many_users"
    title = "Too many users"
    http_status = 422


class NotAMember(PresenceError):
    code = "not_a_member"
    title = "Not a member of this team"
    http_status = 403


class NotAllowed(PresenceError):
    """The token is good, but not for this: no team, not an administrator, a foreign Origin."""

    code = "not_allowed"
    title = "Not allowed"
    http_status = 403
    close_code = 4503


class BadToken(PresenceError):
    code = "bad_token"
    title = "Token refused"
    http_status = 401
    close_code = 4501


class SignedOut(PresenceError):
    """The session was signed out, and stays so (section 4 of the contract)."""

    code = "bad_token"
    title = "Signed out"
    http_status = 401
    close_code = 4506


class RateLimited(PresenceError):
    code = "rate_limited"
    title = "Too many requests"
    http_status = 429

    def __init__(self, message: str, retry_ms: int) -> None:
        super().__init__(message)
        self.retry_ms = retry_ms


class Unavailable(PresenceError):
    """Redis, or the issuer's key set, is out of reach."""

    code = "unavailable"
    title = "Temporarily unavailable"
    http_status = 503
    close_code = 1013


class StartupError(PresenceError):
    """The server cannot start; the text says what to do about it."""


class SettingsError(StartupError):
    """Settings that are wrong or contradict each other, all faults at once.

    Attributes:
        faults: one sentence each, naming the variable.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)
