"""Statuses: what may be chosen, and what comes next."""

from __future__ import annotations

from typing import Any

import pytest

from presence_server import errors
from presence_server.core.status import SELECTABLE, check_selectable, json_type, next_change


@pytest.mark.parametrize("status", ["online", "busy"])
def test_online_and_busy_can_be_chosen(status: str) -> None:
    assert check_selectable(status) == status


def test_nothing_else_is_selectable() -> None:
    assert SELECTABLE == ("online", "busy")


def test_offline_cannot_be_chosen() -> None:
    """Rule 2."""
    with pytest.raises(errors.StatusNotSelectable, match=r"^Expected 'online' or 'busy', got 'offline'$") as refusal:
        check_selectable("offline")
    assert refusal.value.code == "status_not_selectable"


@pytest.mark.parametrize("status", ["", "Online", "away", "online ", "__proto__"])
def test_a_string_that_is_no_status_is_unknown(status: str) -> None:
    with pytest.raises(errors.UnknownStatus, match=rf"^Expected 'online' or 'busy', got '{status}'$") as refusal:
        check_selectable(status)
    assert refusal.value.code == "unknown_status"


def test_a_long_unknown_status_is_told_in_part() -> None:
    with pytest.raises(errors.UnknownStatus, match=f"got '{'x' * 32}'$"):
        check_selectable("x" * 10_000)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (1.5, "a number"),
        (["online"], "an array"),
        ({"status": "online"}, "an object"),
    ],
)
def test_anything_but_a_string_is_a_bad_message(value: Any, kind: str) -> None:
    with pytest.raises(errors.BadMessage, match=rf"^Expected 'status' to be a string, got {kind}$") as refusal:
        check_selectable(value)
    assert refusal.value.code == "bad_message"


def test_every_json_type_has_a_name() -> None:
    names = [json_type(value) for value in ("", 1, 1.5, True, None, [], {}, object())]
    assert names == [
        "a string",
        "a number",
        "a number",
        "a boolean",
        "null",
        "an array",
        "an object",
        "something else",
    ]


def test_who_is_offline_has_nothing_coming() -> None:
    assert next_change("offline", idle_at_ms=5, open_connections=1, held_until_ms=9) == (None, None)


@pytest.mark.parametrize("status", ["online", "busy"])
@pytest.mark.parametrize(
    ("open_connections", "idle_at_ms", "held_until_ms", "change"),
    [
        # An open connection brings nobody down by itself.
        (1, 100, 50, ("offline", 100)),
        (2, 50, 100, ("offline", 50)),
        # Nothing but forgiven connections: the earlier deadline counts (rule 1).
        (0, 100, 99, ("offline", 99)),
        (0, 99, 100, ("offline", 99)),
        (0, 100, 100, ("offline", 100)),
    ],
)
def test_the_earlier_deadline_comes_next(
    status: str, open_connections: int, idle_at_ms: int, held_until_ms: int, change: tuple[str, int]
) -> None:
    found = next_change(status, idle_at_ms=idle_at_ms, open_connections=open_connections, held_until_ms=held_until_ms)
    assert found == change
