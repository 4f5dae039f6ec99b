"""One connection as a state machine: size, rate, form and order, each told as section 5 says."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server import errors
from presence_server.core import messages
from presence_server.core.connection import ConnectionCore, RateBroken, Rejected, State
from presence_server.core.messages import Command, Heartbeat, Hello, Logout, Renew, SetStatus, Watch
from tests.core.wire import JSON, MESSAGES

HELLO = {"type": "hello", "token": "jwt"}
LATER = [
    {"type": "heartbeat", "idle_ms": 0},
    {"type": "set_status", "status": "busy"},
    {"type": "set_status", "status": "busy", "team": "acme"},
    {"type": "watch", "team": "acme", "users": "all"},
    {"type": "renew", "token": "jwt"},
    {"type": "logout"},
]


class Clocked(ConnectionCore):
    """A connection whose clock moves on by a second with every message, unless told."""

    def __init__(self) -> None:
        super().__init__(1000.0)
        self.now_s = 1000.0

    def hear(self, message: Any, after_s: float = 1.0) -> Command:
        self.now_s += after_s
        return self.receive(orjson.dumps(message), self.now_s)

    def refuses(self, message: Any) -> Rejected:
        with pytest.raises(Rejected) as refusal:
            self.hear(message)
        return refusal.value


def opened(*teams: str) -> Clocked:
    connection = Clocked()
    connection.hear(HELLO)
    connection.opened(teams)
    return connection


# --- order ------------------------------------------------------------------------------------------------------------


def test_hello_comes_first_then_the_teams_then_the_end() -> None:
    connection = Clocked()
    assert (connection.state, connection.teams) == (State.EXPECTED, ())
    assert connection.hear(HELLO) == Hello("jwt", 0, {}, {}, None)
    states = [connection.state]
    connection.opened(("acme", "b"))
    assert connection.teams == ("acme", "b")
    states.append(connection.state)
    connection.closed()
    states.append(connection.state)
    assert states == [State.JOINING, State.OPEN, State.CLOSED]


@pytest.mark.parametrize("message", LATER)
def test_nothing_else_comes_first(message: dict[str, Any]) -> None:
    connection = Clocked()
    refusal = connection.refuses(message | {"id": 7})
    assert type(refusal.error) is errors.BadMessage
    assert str(refusal) == "Expected 'hello' first, got something else"
    assert refusal.identity == 7
    assert connection.state is State.EXPECTED
    assert isinstance(connection.hear(HELLO), Hello)


def test_hello_comes_once() -> None:
    connection = Clocked()
    connection.hear(HELLO)
    for _ in range(2):
        assert str(connection.refuses(HELLO)) == "Expected 'hello' once, got another"
        connection.opened(("acme",))


def test_a_hello_that_was_wrong_may_be_put_right() -> None:
    connection = Clocked()
    assert type(connection.refuses({"type": "hello"}).error) is errors.BadMessage
    assert isinstance(connection.hear(HELLO), Hello)


@pytest.mark.parametrize("message", LATER)
def test_an_open_connection_takes_all_the_others(message: dict[str, Any]) -> None:
    assert opened("acme").hear(message) == messages.parse(message)


def test_a_connection_that_ended_while_it_came_in_stays_ended() -> None:
    connection = Clocked()
    connection.hear(HELLO)
    connection.closed()
    connection.opened(("acme",))
    assert connection.state is State.CLOSED


@pytest.mark.parametrize(
    "command", [{"type": "set_status", "status": "busy"}, {"type": "watch", "users": "all"}, {"type": "explain"}]
)
def test_a_team_it_is_not_in_is_refused(command: dict[str, Any]) -> None:
    connection = opened("acme", "b")
    refusal = connection.refuses(command | {"team": "c", "id": "x"})
    assert type(refusal.error) is errors.NotAMember
    assert (refusal.error.code, refusal.error.close_code, refusal.identity) == ("not_a_member", None, "x")
    assert str(refusal) == "Expected a team of this connection, got 'c'"
    assert connection.hear(command | {"team": "b"}) == messages.parse(command | {"team": "b"})


def test_what_is_wrong_is_answered_with_the_id() -> None:
    refusal = opened("acme").refuses({"type": "set_status", "id": 2, "status": "offline"})
    assert orjson.loads(messages.error(refusal.error, refusal.identity)) == {
        "type": "error",
        "id": 2,
        "code": "status_not_selectable",
        "message": "Expected 'online' or 'busy', got 'offline'",
    }


# --- size and form ----------------------------------------------------------------------------------------------------


def padded(message: dict[str, Any], size: int) -> bytes:
    data = orjson.dumps(message)
    return data + b" " * (size - len(data))


def test_a_hello_may_have_32_kib() -> None:
    assert ConnectionCore(0.0).receive(padded(HELLO, 32 * 1024), 0.0) == Hello("jwt", 0, {}, {}, None)
    with pytest.raises(errors.TooLarge, match=r"^Expected at most 32768 bytes, got 32769$") as refusal:
        ConnectionCore(0.0).receive(padded(HELLO, 32 * 1024 + 1), 0.0)
    assert refusal.value.close_code == 4505


def test_a_later_message_may_have_64_kib() -> None:
    connection = opened("acme")
    assert connection.receive(padded({"type": "logout"}, 64 * 1024), 2000.0) == Logout()
    with pytest.raises(errors.TooLarge, match=r"^Expected at most 65536 bytes, got 65537$") as refusal:
        connection.receive(padded({"type": "logout"}, 64 * 1024 + 1), 2001.0)
    assert refusal.value.close_code == 4505


def test_a_renew_may_have_32_kib() -> None:
    renew = {"type": "renew", "token": "jwt"}
    assert opened("acme").receive(padded(renew, 32 * 1024), 2000.0) == Renew(None, "jwt")
    with pytest.raises(errors.TooLarge, match=r"^Expected at most 32768 bytes, got 32769$") as refusal:
        opened("acme").receive(padded(renew, 32 * 1024 + 1), 2000.0)
    assert refusal.value.close_code == 4505


def test_what_nobody_reads_may_hold_anything_that_json_has() -> None:
    """Half an emoji, and a number that no machine has."""
    data = rb'{"type":"heartbeat","idle_ms":0,"draft":"\ud83d","huge":1e400}'
    assert opened("acme").receive(data, 2000.0) == Heartbeat(0)


@pytest.mark.parametrize("field", ["type", "id", "team", "status", "users"])
def test_half_a_character_where_it_is_read_is_answered(field: str) -> None:
    message = {"type": "watch", "id": 1, "team": "acme", "users": "all"} | {field: "\ud83d"}
    if field == "status":
        message = {"type": "set_status", "status": "\ud83d"}
    connection = opened("acme")
    with pytest.raises(Rejected) as rejected:
        connection.receive(json.dumps(message).encode(), 2000.0)
    told = orjson.loads(messages.error(rejected.value.error, rejected.value.identity))
    assert told["type"] == "error"


@pytest.mark.parametrize("value", [b"[]", b"7", b"null", b'"x"'])
def test_what_is_no_object_counts_for_the_rate_limit(value: bytes) -> None:
    connection = opened("acme")
    codes = []
    for _ in range(149):
        with pytest.raises(Rejected) as refused:
            connection.receive(value, 2000.0)
        codes.append(refused.value.error.code)
    assert codes == ["bad_message"] * 50 + ["rate_limited"] * 99
    with pytest.raises(RateBroken):
        connection.receive(value, 2000.0)


def test_what_is_not_json_closes_and_what_is_no_object_does_not() -> None:
    connection = opened("acme")
    with pytest.raises(errors.BadFrame) as refusal:
        connection.receive(b"hello", 2000.0)
    assert refusal.value.close_code == 4505
    with pytest.raises(Rejected) as answer:
        connection.receive(b"[]", 2001.0)
    assert answer.value.error.close_code is None


def assert_can_be_told(error: errors.PresenceError, identity: Any = None) -> None:
    assert orjson.loads(messages.error(error, identity))["message"] == str(error)


@given(st.lists(JSON | MESSAGES, max_size=8), st.sampled_from([State.EXPECTED, State.JOINING, State.OPEN]))
def test_whatever_arrives_nothing_unexpected_is_raised(sent: list[Any], state: State) -> None:
    connection = Clocked() if state is State.EXPECTED else opened("acme")
    connection.state = state
    for message in sent:
        try:
            command = connection.hear(message)
        except Rejected as exc:
            assert_can_be_told(exc.error, exc.identity)
        except errors.PresenceError as exc:
            assert_can_be_told(exc)
        else:
            assert isinstance(command, (Hello, Heartbeat, SetStatus, Watch, Renew, Logout))
            assert (type(command) is Hello) == (state is State.EXPECTED)
            state = State.JOINING if state is State.EXPECTED else state
        assert connection.state is state


# --- rate -------------------------------------------------------------------------------------------------------------


def test_what_is_too_much_is_dropped_and_answered_with_its_id() -> None:
    connection = opened("acme")
    heartbeat = orjson.dumps({"type": "heartbeat", "idle_ms": 0})
    for _ in range(50):
        connection.receive(heartbeat, 2000.0)
    with pytest.raises(Rejected) as rejected:
        connection.receive(orjson.dumps({"type": "set_status", "id": 7, "status": "busy"}), 2000.0)
    assert rejected.value.identity == 7
    assert isinstance(rejected.value.error, errors.RateLimited)
    assert rejected.value.error.retry_ms == 101
    connection.receive(heartbeat, 2000.0 + rejected.value.error.retry_ms / 1000)


def test_who_keeps_on_is_closed_with_4005() -> None:
    connection = opened("acme")
    heartbeat = orjson.dumps({"type": "heartbeat", "idle_ms": 0})
    for _ in range(50):
        connection.receive(heartbeat, 2000.0)
    for _ in range(99):
        with pytest.raises(Rejected):
            connection.receive(heartbeat, 2000.0)
    with pytest.raises(RateBroken) as broken:
        connection.receive(heartbeat, 2000.0)
    assert (broken.value.code, broken.value.close_code) == ("rate_limited", 4005)
    assert str(broken.value) == "Expected fewer than 100 messages a minute over the limit"


def test_watch_lists_are_bounded_by_their_sum() -> None:
    connection = opened(*(f"team{number}" for number in range(7)))
    users = [f"user{number}" for number in range(1_000)]
    for number in range(5):
        connection.hear({"type": "watch", "team": f"team{number}", "users": users})
    # Again the same costs nothing more.
    connection.hear({"type": "watch", "team": "team0", "users": users})
    refusal = connection.refuses({"type": "watch", "id": 7, "team": "team5", "users": users[:1]})
    assert (refusal.error.code, refusal.identity) == ("too_many_users", 7)
    assert str(refusal) == "Expected at most 5000 users to watch in all teams, got 5001"
    connection.hear({"type": "watch", "team": "team0", "users": "all"})
    connection.hear({"type": "watch", "team": "team5", "users": users})


def test_the_lists_of_a_hello_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_WATCHED_IN_ALL", 3)
    hello = HELLO | {"watch": {"acme": ["a", "b"], "labs": ["c", "d"]}}
    with pytest.raises(Rejected, match="at most 3 users to watch in all teams, got 4"):
        ConnectionCore(0.0).receive(orjson.dumps(hello), 0.0)
    connection = ConnectionCore(0.0)
    connection.receive(orjson.dumps(HELLO | {"watch": {"acme": ["a", "b"], "labs": "all"}}), 0.0)
    assert connection.state is State.JOINING
