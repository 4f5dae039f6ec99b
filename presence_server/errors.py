"""The tree of errors.

Each error carries what every edge needs to tell it: the wire code of section 5 of the contract, the HTTP
status of section 6 and, where it ends a connection, the WebSocket close code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from presence_server.core.codes import CloseCode, ErrorCode


class PresenceError(Exception):
    """Base of everything this package raises on purpose; its text is fit to be shown to a client."""

    code: ClassVar[ErrorCode] = ErrorCode.BAD_MESSAGE
    title: ClassVar[str] = "Bad request"
    http_status: ClassVar[int] = 400
    close_code: ClassVar[CloseCode | None] = None


class BadMessage(PresenceError):
    """A message or request whose fields are not of the contract's types."""


class BadFrame(BadMessage):
    """Not text, not JSON, or larger than allowed: the peer does not speak the protocol at all."""

    close_code = CloseCode.BAD_FRAME


class TooLarge(BadFrame):
    code = ErrorCode.TOO_LARGE
    title = "Content too large"
    http_status = 413


class UnsupportedMediaType(PresenceError):
    code = ErrorCode.UNSUPPORTED_MEDIA_TYPE
    title = "Unsupported media type"
    http_status = 415


class UnknownType(PresenceError):
    code = ErrorCode.UNKNOWN_TYPE
    title = "Unknown message type"


class StatusNotSelectable(PresenceError):
    code = ErrorCode.STATUS_NOT_SELECTABLE
    title = "Status cannot be chosen"
    http_status = 422


class UnknownStatus(PresenceError):
    code = ErrorCode.UNKNOWN_STATUS
    title = "Unknown status"
    http_status = 422


class BadSetting(PresenceError):
    """A team setting out of its range."""

    code = ErrorCode.BAD_SETTING
    title = "Setting out of range"
    http_status = 422


class TooManyUsers(PresenceError):
    code = ErrorCode.TOO_MANY_USERS
    title = "Too many users"
    http_status = 422


class NotAMember(PresenceError):
    code = ErrorCode.NOT_A_MEMBER
    title = "Not a member of this team"
    http_status = 403


class NotAllowed(PresenceError):
    """The token is good, but not for this: no team, not an administrator, a foreign Origin."""

    code = ErrorCode.NOT_ALLOWED
    title = "Not allowed"
    http_status = 403
    close_code = CloseCode.NOT_ALLOWED


class BadToken(PresenceError):
    code = ErrorCode.BAD_TOKEN
    title = "Token refused"
    http_status = 401
    close_code = CloseCode.TOKEN_REFUSED


class TokenExpired(BadToken):
    """Well signed and of somebody who may come in, but over: a new one is wanted, and nothing else is wrong."""

    title = "Token expired"
    close_code = CloseCode.TOKEN_EXPIRED


class SignedOut(PresenceError):
    """The session was signed out, and stays so (section 4 of the contract)."""

    code = ErrorCode.BAD_TOKEN
    title = "Signed out"
    http_status = 401
    close_code = CloseCode.SIGNED_OUT


class RateLimited(PresenceError):
    code = ErrorCode.RATE_LIMITED
    title = "Too many requests"
    http_status = 429

    def __init__(self, message: str, retry_ms: int) -> None:
        super().__init__(message)
        self.retry_ms = retry_ms


class TooManyConnects(RateLimited):
    """One user connects, or renews his tokens, more often than anybody has a reason to."""

    close_code = CloseCode.RATE_BROKEN


class Unavailable(PresenceError):
    """Redis, or the issuer's key set, is out of reach."""

    code = ErrorCode.UNAVAILABLE
    title = "Temporarily unavailable"
    http_status = 503
    close_code = CloseCode.TRY_AGAIN_LATER


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
