"""The wire (section 5 of the contract): bytes to commands, events to bytes.

Everything a client sends is validated here, field by field; everything it is sent is encoded here, once per event and
not per receiver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from presence_server import errors
from presence_server.core.decoding import loads, printable
from presence_server.core.ids import is_id
from presence_server.core.status import Presence, UserDetail, check_selectable, json_type

# A hundred team ids of the longest kind fit into a token, and the token into a hello.
MAX_HELLO_BYTES: Final = 32 * 1024
MAX_MESSAGE_BYTES: Final = 64 * 1024
MAX_TOKEN_LENGTH: Final = 24 * 1024
MAX_WATCHED: Final = 1000
# In all teams of a connection, which keeps them.
MAX_WATCHED_IN_ALL: Final = 5000
MAX_TEAMS: Final = 100
# A year: further back, "idle for longer than any timeout" says it all, and sums stay far inside 53 bits.
MAX_IDLE_MS: Final = 366 * 24 * 3600 * 1000

MessageId: TypeAlias = int | str | None
Watched: TypeAlias = frozenset[str] | None
"""The users a connection is narrowed to, or None for all."""


class Position(NamedTuple):
    """Where a client's view of a team stands."""

    epoch: str
    version: int


class Hello(NamedTuple):
    token: str
    idle_ms: int
    resume: Mapping[str, Position]
    watch: Mapping[str, Watched]
    replaces: str | None


class Heartbeat(NamedTuple):
    idle_ms: int
    id: MessageId = None


class Explain(NamedTuple):
    id: MessageId
    team: str


class SetStatus(NamedTuple):
    id: MessageId
    status: str
    team: str | None


class Watch(NamedTuple):
    id: MessageId
    team: str
    users: Watched


class Renew(NamedTuple):
    id: MessageId
    token: str


class Logout(NamedTuple):
    pass


Command: TypeAlias = Hello | Heartbeat | Explain | SetStatus | Watch | Renew | Logout

_LOGOUT: Final = Logout()


def decode(data: bytes | str) -> dict[str, Any]:
    """Decode one frame's payload into its JSON object.

    Raises:
        errors.BadFrame: it is not JSON at all (close 4505).
        errors.BadMessage: it is JSON, but not an object.
    """
    try:
        message = loads(data)
    except ValueError as exc:
        raise errors.BadFrame(f"Expected one JSON object a frame, got something else: {exc}") from None
    if type(message) is not dict:
        raise errors.BadMessage(f"Expected a JSON object, got {json_type(message)}")
    return message


def parse(message: dict[str, Any]) -> Command:
    """Turn a decoded message into its command.

    Raises:
        errors.PresenceError: of the kind whose code section 5 of the contract names.
    """
    kind = message.get("type")
    if kind == "heartbeat":
        return Heartbeat(_idle_ms(message, required=True), _checked_id(message) if "id" in message else None)
    if not isinstance(kind, str):
        raise errors.BadMessage(f"Expected 'type' to be a string, got {json_type(kind)}")
    parser = _PARSERS.get(kind)
    if parser is None:
        raise errors.UnknownType(f"Expected a 'type' of section 5 of the contract, got '{kind[:32]}'")
    return parser(message)


def message_id(message: Mapping[str, Any]) -> MessageId:
    """The `id` to answer with: a whole number or a string of up to 64 characters; None when absent or neither."""
    value = message.get("id")
    if type(value) is int:
        return value if abs(value) < 2**53 else None
    # What is not text could not be sent back.
    return value if type(value) is str and len(value) <= 64 and printable(value) == value else None


def _parse_hello(message: dict[str, Any]) -> Hello:
    replaces = message.get("replaces")
    if replaces is not None and not is_id(replaces):
        raise errors.BadMessage(f"Expected 'replaces' to be a connection's id, got {_short(replaces)}")
    return Hello(
        _token(message),
        _idle_ms(message, required=False),
        {team: _position(team, value) for team, value in _team_map(message, "resume").items()},
        {team: _watched(value) for team, value in _team_map(message, "watch").items()},
        replaces,
    )


def _parse_explain(message: dict[str, Any]) -> Explain:
    identity = _checked_id(message)
    _check_team(message.get("team"))
    return Explain(identity, message["team"])


def _parse_set_status(message: dict[str, Any]) -> SetStatus:
    identity = _checked_id(message)
    team = message.get("team")
    if team is not None:
        _check_team(team)
    if "status" not in message:
        raise errors.BadMessage("Expected 'status' to be 'online' or 'busy', got nothing")
    return SetStatus(identity, check_selectable(message["status"]), team)


def _parse_watch(message: dict[str, Any]) -> Watch:
    identity = _checked_id(message)
    _check_team(message.get("team"))
    return Watch(identity, message["team"], _watched(message.get("users")))


def _parse_renew(message: dict[str, Any]) -> Renew:
    return Renew(_checked_id(message), _token(message))


_PARSERS: Final[dict[str, Callable[[dict[str, Any]], Command]]] = {
    "hello": _parse_hello,
    "explain": _parse_explain,
    "set_status": _parse_set_status,
    "watch": _parse_watch,
    "renew": _parse_renew,
    "logout": lambda _message: _LOGOUT,
}


def _short(value: object) -> str:
    return f"'{value[:32]}'" if isinstance(value, str) else json_type(value)


def _checked_id(message: Mapping[str, Any]) -> MessageId:
    identity = message_id(message)
    if identity is None and message.get("id") is not None:
        raise errors.BadMessage("Expected 'id' to be a whole number or a string of up to 64 characters")
    return identity


def _check_team(value: object) -> None:
    if not is_id(value):
        raise errors.BadMessage(f"Expected 'team' to be a team's id, got {_short(value)}")


def _idle_ms(message: Mapping[str, Any], *, required: bool) -> int:
    value = message.get("idle_ms", None if required else 0)
    if type(value) is not int or value < 0:
        got = value if type(value) is int else json_type(value)
        raise errors.BadMessage(f"Expected 'idle_ms' to be a whole number of milliseconds from 0, got {got}")
    return min(value, MAX_IDLE_MS)


def _token(message: Mapping[str, Any]) -> str:
    value = message.get("token")
    if type(value) is not str:
        raise errors.BadMessage(f"Expected 'token' to be a JWT, got {json_type(value)}")
    if not 0 < len(value) <= MAX_TOKEN_LENGTH:
        raise errors.BadToken(f"Expected a JWT of up to {MAX_TOKEN_LENGTH} characters, got {len(value)}")
    return value


def _team_map(message: Mapping[str, Any], field: str) -> dict[str, Any]:
    value = message.get(field)
    if value is None:
        return {}
    if type(value) is not dict:
        raise errors.BadMessage(f"Expected '{field}' to be an object by team, got {json_type(value)}")
    if len(value) > MAX_TEAMS:
        raise errors.BadMessage(f"Expected '{field}' to name up to {MAX_TEAMS} teams, got {len(value)}")
    return value


def _position(team: str, value: object) -> Position:
    if type(value) is dict:
        epoch, version = value.get("epoch"), value.get("version")
        if type(epoch) is str and len(epoch) <= 64 and type(version) is int and 0 <= version < 2**53:
            return Position(epoch, version)
    raise errors.BadMessage(f"Expected 'resume' of '{team[:32]}' to be an epoch and a version")


def _watched(value: object) -> Watched:
    if value == "all":
        return None
    if type(value) is not list:
        raise errors.BadMessage(f"Expected the users to watch to be an array of ids or 'all', got {_short(value)}")
    if len(value) > MAX_WATCHED:
        raise errors.TooManyUsers(f"Expected at most {MAX_WATCHED} users to watch, got {len(value)}")
    for user in value:
        if not is_id(user):
            raise errors.BadMessage(f"Expected the users to watch to be ids, got {_short(user)}")
    return frozenset(value)


# --- events -----------------------------------------------------------------------------------------------------------


def welcome(
    *, user: str, connection: str, teams: Iterable[str], heartbeat_ms: int, server_time: int, token_expires_at: int
) -> bytes:
    """Encode `welcome`; `server_time` and `token_expires_at` are instants in milliseconds since the epoch."""
    return orjson.dumps(
        {
            "type": "welcome",
            "user": user,
            "connection": connection,
            "teams": list(teams),
            "heartbeat_ms": heartbeat_ms,
            "server_time": server_time,
            "token_expires_at": token_expires_at,
        }
    )


def self_state(team: str, chosen: str, idle_timeout_ms: int) -> bytes:
    """Encode `self`: the user's own choice and the team's idle timeout, as the server has them."""
    return b'{"type":"self","team":"%b","chosen":"%b","idle_timeout_ms":%d}' % (
        team.encode(),
        chosen.encode(),
        idle_timeout_ms,
    )


def fragment(user: str, presence: Presence) -> bytes:
    """Encode one member of a `users` object, ready to be joined with others by commas.

    Ids and statuses hold no character that JSON would escape (section 1 of the contract), which is why this may
    format instead of encode: it runs for every change of every user.
    """
    return b'"%b":{"status":"%b","since":%d,"reason":"%b"}' % (
        user.encode(),
        presence.status.encode(),
        presence.since or 0,
        (presence.reason or "").encode(),
    )


def delta(team: str, epoch: str, version: int, fragments: Iterable[bytes]) -> bytes:
    """Encode `delta` from fragments."""
    return b'{"type":"delta","team":"%b","epoch":"%b","version":%d,"users":{%b}}' % (
        team.encode(),
        epoch.encode(),
        version,
        b",".join(fragments),
    )


def snapshot(team: str, epoch: str, version: int, fragments: Iterable[bytes], *, more: bool = False) -> bytes:
    """Encode `snapshot`, or one part of a large one: all parts but the last with `more`."""
    return b'{"type":"snapshot","team":"%b","epoch":"%b","version":%d,%b"users":{%b}}' % (
        team.encode(),
        epoch.encode(),
        version,
        b'"more":true,' if more else b"",
        b",".join(fragments),
    )


def ack(identity: MessageId) -> bytes:
    """Encode `ack`; without an id when the request had none."""
    return orjson.dumps({"type": "ack"} if identity is None else {"type": "ack", "id": identity})


def explanation(identity: MessageId, team: str, detail: UserDetail) -> bytes:
    """Encode `explanation`: what section 6 of the contract tells a user of himself; with the id asked."""
    event: dict[str, Any] = {"type": "explanation"}
    if identity is not None:
        event["id"] = identity
    event["team"] = team
    event.update(detail._asdict())
    del event["user"]
    return orjson.dumps(event)


def error(exc: errors.PresenceError, identity: MessageId = None) -> bytes:
    """Encode `error`; `rate_limited` carries `retry_ms`."""
    event: dict[str, Any] = {"type": "error"}
    if identity is not None:
        event["id"] = identity
    event["code"] = exc.code
    event["message"] = printable(str(exc))
    if isinstance(exc, errors.RateLimited):
        event["retry_ms"] = exc.retry_ms
    return orjson.dumps(event)


def feed(*, live: bool, team: str | None = None) -> bytes:
    """Encode `feed`: whether statuses are fresh, everywhere or in one team."""
    return orjson.dumps(
        {"type": "feed", "live": live} if team is None else {"type": "feed", "live": live, "team": team}
    )
