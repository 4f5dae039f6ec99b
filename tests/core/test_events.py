"""From events to bytes: exactly the shapes of section 5, whatever the ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from presence_server import errors
from presence_server.core import messages
from presence_server.core.ids import PATTERN
from presence_server.core.status import Presence, UserDetail

IDS = st.one_of(
    st.from_regex(PATTERN, fullmatch=True), st.sampled_from(["__proto__", "constructor", "a:b@c+d-e.f", "x" * 128])
)
INSTANTS = st.integers(0, 2**53)
PRESENCES = st.builds(
    Presence, st.sampled_from(["online", "busy", "offline"]), INSTANTS, st.sampled_from(["signed_in", "idle", "forced"])
)
TEAMS = st.dictionaries(IDS, PRESENCES, max_size=5)


def users_of(users: Mapping[str, Presence]) -> dict[str, Any]:
    return {user: {"status": p.status, "since": p.since, "reason": p.reason} for user, p in users.items()}


def fragments(users: Mapping[str, Presence]) -> list[bytes]:
    return [messages.fragment(user, presence) for user, presence in users.items()]


@given(IDS, st.lists(IDS, max_size=100), INSTANTS)
@example("__proto__", ["constructor"], 0)
def test_welcome(user: str, teams: list[str], instant: int) -> None:
    encoded = messages.welcome(
        user=user,
        connection="9f-1",
        teams=(team for team in teams),
        heartbeat_ms=25_000,
        server_time=instant,
        token_expires_at=instant + 1,
    )
    assert orjson.loads(encoded) == {
        "type": "welcome",
        "user": user,
        "connection": "9f-1",
        "teams": teams,
        "heartbeat_ms": 25_000,
        "server_time": instant,
        "token_expires_at": instant + 1,
    }


@given(IDS, st.sampled_from(["online", "busy"]), INSTANTS)
def test_self(team: str, chosen: str, idle_timeout_ms: int) -> None:
    assert orjson.loads(messages.self_state(team, chosen, idle_timeout_ms)) == {
        "type": "self",
        "team": team,
        "chosen": chosen,
        "idle_timeout_ms": idle_timeout_ms,
    }


@given(IDS, IDS, st.integers(0, 2**53), TEAMS)
@example("acme", "k3", 817, {})
@example("acme", "k3", 817, {"__proto__": Presence("offline", 1763800012345, "idle")})
def test_delta(team: str, epoch: str, version: int, users: dict[str, Presence]) -> None:
    assert orjson.loads(messages.delta(team, epoch, version, fragments(users))) == {
        "type": "delta",
        "team": team,
        "epoch": epoch,
        "version": version,
        "users": users_of(users),
    }


@given(IDS, IDS, st.integers(0, 2**53), TEAMS, st.booleans())
@example("acme", "k3", 815, {}, False)
@example("acme", "k3", 815, {"maria": Presence("busy", 1763800000000, "signed_in")}, True)
def test_snapshot(team: str, epoch: str, version: int, users: dict[str, Presence], more: bool) -> None:
    expected = {"type": "snapshot", "team": team, "epoch": epoch, "version": version, "users": users_of(users)}
    encoded = messages.snapshot(team, epoch, version, fragments(users), more=more)
    assert orjson.loads(encoded) == (expected | {"more": True} if more else expected)


def test_a_snapshot_is_whole_unless_it_says_otherwise() -> None:
    assert b"more" not in messages.snapshot("acme", "k3", 1, [])


def test_a_user_nothing_is_known_of_has_a_fragment_still() -> None:
    assert orjson.loads(b"{%b}" % messages.fragment("maria", Presence("offline", None, None))) == {
        "maria": {"status": "offline", "since": 0, "reason": ""}
    }


@pytest.mark.parametrize("identity", [0, -1, 2**53 - 1, "", "a", 'quo"te', "é"])
def test_ack_and_error_carry_the_id(identity: Any) -> None:
    assert orjson.loads(messages.ack(identity)) == {"type": "ack", "id": identity}
    assert orjson.loads(messages.error(errors.BadMessage("Expected"), identity))["id"] == identity


def test_ack_and_error_of_a_request_without_id_carry_none() -> None:
    assert orjson.loads(messages.ack(None)) == {"type": "ack"}
    assert "id" not in orjson.loads(messages.error(errors.BadMessage("Expected")))


@pytest.mark.parametrize("team", ["acme", "__proto__"])
def test_explanation(team: str) -> None:
    detail = UserDetail("maria", "online", 5, "active", "busy", 7, 3, "offline", 607)
    expected = {
        "type": "explanation",
        "id": 8,
        "team": team,
        "status": "online",
        "since": 5,
        "reason": "active",
        "chosen": "busy",
        "last_active": 7,
        "connections": 3,
        "next_change": "offline",
        "next_change_at": 607,
    }
    assert orjson.loads(messages.explanation(8, team, detail)) == expected
    del expected["id"]
    assert orjson.loads(messages.explanation(None, team, detail)) == expected


@given(st.text())
def test_error(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert orjson.loads(messages.error(errors.StatusNotSelectable(text), 1)) == {
        "type": "error",
        "id": 1,
        "code": "status_not_selectable",
        "message": text,
    }


def test_rate_limited_tells_when_to_try_again() -> None:
    assert orjson.loads(messages.error(errors.RateLimited("Expected at most 10 messages a second, got more", 21))) == {
        "type": "error",
        "code": "rate_limited",
        "message": "Expected at most 10 messages a second, got more",
        "retry_ms": 21,
    }


def test_feed() -> None:
    assert orjson.loads(messages.feed(live=True)) == {"type": "feed", "live": True}
    assert orjson.loads(messages.feed(live=False)) == {"type": "feed", "live": False}
    assert orjson.loads(messages.feed(live=False, team="acme")) == {"type": "feed", "live": False, "team": "acme"}
