"""From bytes to commands: every field of every message (section 5 of the contract)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from presence_server import errors
from presence_server.core import messages
from presence_server.core.ids import is_id
from presence_server.core.messages import Explain, Heartbeat, Hello, Logout, Position, Renew, SetStatus, Watch
from tests.core.wire import JSON, MESSAGES
from tests.support.budget import examples

NOT_STRINGS: list[Any] = [None, 1, 1.5, True, [], {}]
NOT_WHOLE = [-1, 1.5, 1e3, True, "1", None, [], {}]
NOT_IDS = ["", "a b", "-a", "x" * 129, 1, True, [], {}]

HELLO = {"type": "hello", "token": "jwt"}
SET_STATUS = {"type": "set_status", "status": "busy"}
WATCH = {"type": "watch", "team": "acme", "users": "all"}
EXPLAIN = {"type": "explain", "team": "acme"}
RENEW = {"type": "renew", "token": "jwt"}


def read(message: Any) -> messages.Command:
    return messages.parse(messages.decode(orjson.dumps(message)))


def assert_refused(message: Any, error: type[errors.PresenceError], match: str) -> None:
    with pytest.raises(errors.PresenceError, match=match) as refusal:
        read(message)
    assert type(refusal.value) is error


# --- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"hello", b"{'type':1}", b'{"type":"heartbeat"', b"\xff", b"\xef\xbb\xbf{}", b"NaN", b"[" * 5000],
)
def test_what_is_not_json_closes_with_4505(data: bytes) -> None:
    with pytest.raises(errors.BadFrame, match=r"^Expected one JSON object a frame, got something else: ") as refusal:
        messages.decode(data)
    assert refusal.value.close_code == 4505


@pytest.mark.parametrize(
    ("data", "kind"), [(b"[]", "an array"), (b"null", "null"), (b'"x"', "a string"), (b"1", "a n")]
)
def test_json_that_is_no_object_is_a_bad_message(data: bytes, kind: str) -> None:
    with pytest.raises(errors.BadMessage, match=rf"^Expected a JSON object, got {kind}") as refusal:
        messages.decode(data)
    assert (refusal.value.code, refusal.value.close_code) == ("bad_message", None)


def test_text_and_bytes_are_the_same() -> None:
    assert messages.decode('{"type":"é"}') == messages.decode('{"type":"é"}'.encode()) == {"type": "é"}


@pytest.mark.parametrize("kind", NOT_STRINGS)
def test_a_type_must_be_a_string(kind: Any) -> None:
    assert_refused({"type": kind}, errors.BadMessage, "Expected 'type' to be a string")


def test_a_message_without_a_type_is_a_bad_one() -> None:
    assert_refused({}, errors.BadMessage, "Expected 'type' to be a string, got null")


@pytest.mark.parametrize("kind", ["", "Hello", "ping", "__proto__", "x" * 100])
def test_an_unknown_type_is_told_so(kind: str) -> None:
    assert_refused({"type": kind}, errors.UnknownType, f"got '{kind[:32]}'$")
    assert errors.UnknownType.code == "unknown_type"


@pytest.mark.parametrize(
    "message", [HELLO, {"type": "heartbeat", "idle_ms": 0}, EXPLAIN, SET_STATUS, WATCH, RENEW, {"type": "logout"}]
)
def test_unknown_fields_are_ignored(message: dict[str, Any]) -> None:
    assert read(message | {"later": [1], "__proto__": {"x": 1}}) == read(message)


# --- hello ------------------------------------------------------------------------------------------------------------


def test_all_but_the_token_is_optional() -> None:
    assert read(HELLO) == Hello("jwt", 0, {}, {}, None)


def test_a_hello_with_everything() -> None:
    found = read(
        HELLO
        | {
            "idle_ms": 1200,
            "resume": {"acme": {"epoch": "k3", "version": 812}, "b": {"epoch": "", "version": 0}},
            "watch": {"acme": ["juan", "ana", "juan"], "b": "all", "c": []},
            "replaces": "c9f",
        }
    )
    assert found == Hello(
        "jwt",
        1200,
        {"acme": Position("k3", 812), "b": Position("", 0)},
        {"acme": frozenset({"juan", "ana"}), "b": None, "c": frozenset()},
        "c9f",
    )


def test_null_is_as_good_as_absent() -> None:
    assert read(HELLO | {"resume": None, "watch": None, "replaces": None}) == read(HELLO)


@pytest.mark.parametrize("message", [HELLO, RENEW])
@pytest.mark.parametrize("token", NOT_STRINGS)
def test_a_token_is_a_string(message: dict[str, Any], token: Any) -> None:
    assert_refused(message | {"token": token}, errors.BadMessage, "Expected 'token' to be a JWT, got ")


@pytest.mark.parametrize("message", [HELLO, RENEW])
@pytest.mark.parametrize("size", [0, messages.MAX_TOKEN_LENGTH + 1])
def test_a_string_that_cannot_be_a_token_is_a_bad_one(message: dict[str, Any], size: int) -> None:
    refusal = f"Expected a JWT of up to 24576 characters, got {size}"
    assert_refused(message | {"token": "x" * size}, errors.BadToken, refusal)


def test_a_token_may_be_long() -> None:
    token = "x" * messages.MAX_TOKEN_LENGTH
    assert read(RENEW | {"token": token}) == Renew(None, token)


@pytest.mark.parametrize("message", [HELLO, {"type": "heartbeat"}])
@pytest.mark.parametrize("idle_ms", NOT_WHOLE)
def test_idle_ms_is_a_whole_number_from_zero(message: dict[str, Any], idle_ms: Any) -> None:
    assert_refused(message | {"idle_ms": idle_ms}, errors.BadMessage, "Expected 'idle_ms' to be a whole number")


def test_a_wrong_idle_ms_is_told() -> None:
    assert_refused({"type": "heartbeat", "idle_ms": -7}, errors.BadMessage, "from 0, got -7$")
    assert_refused({"type": "heartbeat", "idle_ms": "7"}, errors.BadMessage, "from 0, got a string$")


def test_a_very_long_idle_time_is_cut_to_a_year() -> None:
    assert read({"type": "heartbeat", "idle_ms": 2**62}) == Heartbeat(messages.MAX_IDLE_MS)
    assert read(HELLO | {"idle_ms": 2**62}).idle_ms == messages.MAX_IDLE_MS  # type: ignore[union-attr]


@pytest.mark.parametrize("field", ["resume", "watch"])
@pytest.mark.parametrize("value", [[], "all", 1, True])
def test_resume_and_watch_go_by_team(field: str, value: Any) -> None:
    assert_refused(HELLO | {field: value}, errors.BadMessage, f"Expected '{field}' to be an object by team")


@pytest.mark.parametrize(("field", "value"), [("resume", {"epoch": "k", "version": 1}), ("watch", "all")])
def test_resume_and_watch_name_at_most_a_hundred_teams(field: str, value: Any) -> None:
    teams = {f"t{n}": value for n in range(messages.MAX_TEAMS)}
    assert len(getattr(read(HELLO | {field: teams}), field)) == 100
    assert_refused(HELLO | {field: teams | {"more": value}}, errors.BadMessage, "up to 100 teams, got 101")


@pytest.mark.parametrize(
    "position",
    [
        None,
        [],
        "k3",
        812,
        {},
        {"epoch": "k3"},
        {"version": 812},
        {"epoch": 3, "version": 812},
        {"epoch": "x" * 65, "version": 812},
        {"epoch": "k3", "version": -1},
        {"epoch": "k3", "version": 2**53},
        {"epoch": "k3", "version": 812.0},
        {"epoch": "k3", "version": True},
        {"epoch": "k3", "version": "812"},
    ],
)
def test_a_position_is_an_epoch_and_a_version(position: Any) -> None:
    assert_refused(
        HELLO | {"resume": {"acme": position}}, errors.BadMessage, "Expected 'resume' of 'acme' to be an epoch and"
    )


@pytest.mark.parametrize("replaces", NOT_IDS)
def test_replaces_is_the_id_of_a_connection(replaces: Any) -> None:
    assert_refused(HELLO | {"replaces": replaces}, errors.BadMessage, "Expected 'replaces' to be a connection's id")


# --- watch ------------------------------------------------------------------------------------------------------------


def test_a_watch() -> None:
    assert read(WATCH | {"id": 3, "users": ["juan", "ana"]}) == Watch(3, "acme", frozenset({"juan", "ana"}))


def test_all_widens_again() -> None:
    assert read(WATCH) == Watch(None, "acme", None)


@pytest.mark.parametrize("users", [None, "some", "", 1, True, {}])
def test_users_are_an_array_or_all(users: Any) -> None:
    refusal = "Expected the users to watch to be an array of ids or 'all'"
    assert_refused(WATCH | {"users": users}, errors.BadMessage, refusal)
    assert_refused(HELLO | {"watch": {"acme": users}}, errors.BadMessage, refusal)


@pytest.mark.parametrize("user", [*NOT_IDS, None])
def test_users_are_ids(user: Any) -> None:
    refusal = "Expected the users to watch to be ids"
    assert_refused(WATCH | {"users": ["juan", user]}, errors.BadMessage, refusal)
    assert_refused(HELLO | {"watch": {"acme": [user]}}, errors.BadMessage, refusal)


def test_at_most_a_thousand_users_can_be_watched() -> None:
    users = [f"u{n}" for n in range(1000)]
    assert read(WATCH | {"users": users}) == Watch(None, "acme", frozenset(users))
    refusal = "Expected at most 1000 users to watch, got 1001"
    assert_refused(WATCH | {"users": [*users, "more"]}, errors.TooManyUsers, refusal)
    assert_refused(HELLO | {"watch": {"acme": [*users, "more"]}}, errors.TooManyUsers, refusal)
    assert errors.TooManyUsers.code == "too_many_users"


@pytest.mark.parametrize("team", [*NOT_IDS, None])
def test_a_watch_names_its_team(team: Any) -> None:
    assert_refused(WATCH | {"team": team}, errors.BadMessage, "Expected 'team' to be a team's id")


# --- the others -------------------------------------------------------------------------------------------------------


def test_a_heartbeat() -> None:
    assert read({"type": "heartbeat", "idle_ms": 1200}) == Heartbeat(1200, None)


def test_a_heartbeat_with_an_id_wants_an_answer() -> None:
    assert read({"type": "heartbeat", "idle_ms": 1200, "id": 7}) == Heartbeat(1200, 7)
    assert_refused({"type": "heartbeat", "idle_ms": 1, "id": []}, errors.BadMessage, "Expected 'id' to be a whole")


def test_an_explain() -> None:
    assert read(EXPLAIN | {"id": 8}) == Explain(8, "acme")
    assert read(EXPLAIN) == Explain(None, "acme")


@pytest.mark.parametrize("team", [None, *NOT_IDS])
def test_an_explain_names_its_team(team: Any) -> None:
    assert_refused(EXPLAIN | {"team": team}, errors.BadMessage, "Expected 'team' to be a team's id")


def test_a_heartbeat_without_idle_ms_says_nothing() -> None:
    assert_refused({"type": "heartbeat"}, errors.BadMessage, "Expected 'idle_ms' to be a whole number .* got null$")


@pytest.mark.parametrize("status", ["online", "busy"])
def test_a_status_for_every_team_or_for_one(status: str) -> None:
    message = {"type": "set_status", "id": 1, "status": status}
    assert read(message) == read(message | {"team": None}) == SetStatus(1, status, None)
    assert read(message | {"team": "acme"}) == SetStatus(1, status, "acme")


def test_a_status_that_cannot_be() -> None:
    assert_refused(SET_STATUS | {"status": "offline"}, errors.StatusNotSelectable, "got 'offline'")
    assert_refused(SET_STATUS | {"status": "away"}, errors.UnknownStatus, "got 'away'")
    assert_refused(SET_STATUS | {"status": None}, errors.BadMessage, "Expected 'status' to be a string, got null")
    assert_refused({"type": "set_status"}, errors.BadMessage, "Expected 'status' to be 'online' or 'busy', got nothing")


@pytest.mark.parametrize("team", NOT_IDS)
def test_a_status_for_no_team(team: Any) -> None:
    assert_refused(SET_STATUS | {"team": team}, errors.BadMessage, "Expected 'team' to be a team's id")


def test_a_renewal() -> None:
    assert read(RENEW | {"id": "r1"}) == Renew("r1", "jwt")


def test_a_logout() -> None:
    assert read({"type": "logout"}) == Logout()


@pytest.mark.parametrize("message", [SET_STATUS, WATCH, RENEW])
@pytest.mark.parametrize("identity", [0, -1, 2**53 - 1, 1 - 2**53, "", "a", "é" * 64, None])
def test_an_id_is_a_whole_number_or_a_short_string(message: dict[str, Any], identity: Any) -> None:
    assert read(message | {"id": identity}).id == identity  # type: ignore[union-attr]
    assert messages.message_id(message | {"id": identity}) == identity


@pytest.mark.parametrize("message", [SET_STATUS, WATCH, RENEW])
@pytest.mark.parametrize("identity", [2**53, -(2**53), 1.5, True, "x" * 65, [], {}])
def test_any_other_id_is_refused_and_not_echoed(message: dict[str, Any], identity: Any) -> None:
    assert_refused(message | {"id": identity}, errors.BadMessage, "Expected 'id' to be a whole number or a string")
    assert messages.message_id(message | {"id": identity}) is None


# --- anything ---------------------------------------------------------------------------------------------------------


def assert_can_be_told(error: errors.PresenceError) -> None:
    assert orjson.loads(messages.error(error))["message"] == str(error)


@given(st.binary() | st.text().map(str.encode))
def test_bytes_never_raise_anything_unexpected(data: bytes) -> None:
    try:
        found = messages.decode(data)
    except errors.PresenceError as exc:
        assert_can_be_told(exc)
    else:
        assert type(found) is dict


@settings(max_examples=examples(200))
@given(JSON | MESSAGES)
def test_json_never_raises_anything_unexpected(value: Any) -> None:
    try:
        message = messages.decode(orjson.dumps(value))
        command = messages.parse(message)
    except errors.PresenceError as exc:
        assert_can_be_told(exc)
    else:
        assert_sound(command)


def assert_sound(command: messages.Command) -> None:
    """What those who carry commands out rely on."""
    match command:
        case Hello(token, idle_ms, resume, watch, replaces):
            assert 0 < len(token) <= 24576
            assert 0 <= idle_ms <= messages.MAX_IDLE_MS
            assert all(0 <= position.version < 2**53 and len(position.epoch) <= 64 for position in resume.values())
            assert all(users is None or (len(users) <= 1000 and all(map(is_id, users))) for users in watch.values())
            assert replaces is None or is_id(replaces)
        case Heartbeat(idle_ms):
            assert 0 <= idle_ms <= messages.MAX_IDLE_MS
        case Explain(_, team):
            assert is_id(team)
        case SetStatus(_, status, team):
            assert status in ("online", "busy")
            assert team is None or is_id(team)
        case Watch(_, team, users):
            assert is_id(team)
            assert users is None or (len(users) <= 1000 and all(map(is_id, users)))
        case Renew(_, token):
            assert 0 < len(token) <= 24576
        case _:
            assert command == Logout()
