"""`details.lua`: read all about some users (section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from presence_server.core.status import OFFLINE, UserDetail, next_change
from presence_server.store.types import Standing, standing_of

NAME = "details"
AT_ONCE = 50


class Details(NamedTuple):
    """What was found.

    Attributes:
        standing: where the team stood.
        idle_timeout_ms, grace_ms: its settings.
        users: in the order they were asked for.
    """

    standing: Standing
    idle_timeout_ms: int
    grace_ms: int
    users: list[UserDetail]


def decode(raw: Sequence[Any], users: Sequence[str]) -> Details:
    """Read the reply on these users."""
    _now_ms, mark, idle_timeout_ms, grace_ms, *rows = raw
    found = [_detail(user, rows[2 * i], rows[2 * i + 1], idle_timeout_ms) for i, user in enumerate(users)]
    return Details(standing_of(mark), idle_timeout_ms, grace_ms, found)


def _detail(user: str, raw: bytes, shown_active: bytes, idle_timeout_ms: int) -> UserDetail:
    record = orjson.loads(raw) if raw else [""]
    if not record[0]:
        return UserDetail(user, OFFLINE)
    chosen, status, since, reason = record[0], record[1], int(record[2]), record[3]
    active_ms = int(float(shown_active)) if shown_active else int(record[4])
    open_connections = sum(int(record[at + 2]) for at in range(11, len(record), 4))
    change, change_at = next_change(
        status,
        idle_at_ms=active_ms + idle_timeout_ms,
        open_connections=open_connections,
        held_until_ms=int(record[9]),
    )
    return UserDetail(
        user, status, since or None, reason or None, chosen, active_ms or None, open_connections, change, change_at
    )
