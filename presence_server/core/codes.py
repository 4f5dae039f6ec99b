"""The contract's vocabulary: why a connection ended, why a status is what it is, and what went wrong.

Named here once; errors, messages, metrics and the documentation take the words from here, and tests hold the
documentation and the browser's table against them.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final


class CloseCode(IntEnum):
    """Why a connection ended (section 5 of the contract; below 4000, RFC 6455, section 7.4.1).

    Attributes:
        reason: what a close frame says beside the number, where nothing more precise is known.
        retry: whether a client comes back by itself.
    """

    reason: str

    def __new__(cls, code: int, reason: str = "") -> CloseCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.reason = reason
        return member

    NORMAL = 1000, "closed by the client"
    GOING_AWAY = 1001, "the page was left"
    PROTOCOL_ERROR = 1002, "not WebSocket"
    NO_CODE = 1005, "closed without a code"
    ABNORMAL = 1006, "lost without a close frame"
    INVALID_DATA = 1007, "not UTF-8"
    TOO_BIG = 1009, "message too big"
    INTERNAL_ERROR = 1011, "something went wrong"
    RESTART = 1012, "the server ends"
    TRY_AGAIN_LATER = 1013, "out of reach, try again later"
    DRAINING = 4001, "draining, reconnect"
    NO_HELLO = 4002, "no hello in time"
    TOO_SLOW = 4003, "too slow to read"
    TOKEN_EXPIRED = 4004, "token expired"
    RATE_BROKEN = 4005, "rate limit kept being broken"
    TOKEN_REFUSED = 4501, "token refused"
    NOT_ALLOWED = 4503, "not allowed"
    REPLACED = 4504, "replaced by newer connections of this user"
    BAD_FRAME = 4505, "too large, not text, or not JSON"
    SIGNED_OUT = 4506, "signed out"

    @property
    def retry(self) -> bool:
        return not 4500 <= self <= 4999


PING_UNANSWERED: Final = "keepalive ping timeout"
REPLACED_BY_ITSELF: Final = "replaced by this tab's newer connection"


class Reason(StrEnum):
    """Why a status is what it is (rule 8)."""

    SIGNED_IN = "signed_in"
    ACTIVE = "active"
    CHOSEN = "chosen"
    IDLE = "idle"
    DISCONNECTED = "disconnected"
    SIGNED_OUT = "signed_out"
    FORCED = "forced"
    SETTINGS = "settings"


class ErrorCode(StrEnum):
    """What went wrong, for programs: `code` of WebSocket errors (section 5) and of HTTP problems (section 6)."""

    BAD_MESSAGE = "bad_message"
    UNKNOWN_TYPE = "unknown_type"
    STATUS_NOT_SELECTABLE = "status_not_selectable"
    UNKNOWN_STATUS = "unknown_status"
    NOT_A_MEMBER = "not_a_member"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_USERS = "too_many_users"
    BAD_TOKEN = "bad_token"
    UNAVAILABLE = "unavailable"
    # Of HTTP alone.
    NOT_ALLOWED = "not_allowed"
    NOT_FOUND = "not_found"
    UPGRADE_REQUIRED = "upgrade_required"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    BAD_SETTING = "bad_setting"
    INTERNAL_ERROR = "internal_error"


WEBSOCKET_ERRORS: Final = frozenset(list(ErrorCode)[: list(ErrorCode).index(ErrorCode.NOT_ALLOWED)])
"""Those that `error` messages carry."""
