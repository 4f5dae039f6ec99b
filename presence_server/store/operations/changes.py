"""`changes.lua`: read what changed after a version (rule 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from presence_server.core.roster import Change
from presence_server.core.status import OFFLINE, ONLINE
from presence_server.store.types import Page, standing_of

NAME = "changes"
AT_ONCE: Final = 500


def decode(raw: Sequence[Any], holder: str) -> Page:
    """Read a page.

    Args:
        raw: the reply.
        holder: the worker whose holds are looked for.
    """
    now_ms, mark, idle_timeout_ms, grace_ms, *rows = raw
    changes: list[Change] = []
    held: set[tuple[str, str]] = set()
    for i in range(0, len(rows), 3):
        user, version = rows[i].decode(), int(rows[i + 1])
        # A record that its TTL has taken belongs to a user who has long been offline.
        record = orjson.loads(rows[i + 2]) if rows[i + 2] else ["", OFFLINE, now_ms, "disconnected"]
        changes.append(Change(user, version, record[1], int(record[2]), record[3], record[0] or ONLINE))
        held.update((user, record[at + 1]) for at in range(11, len(record), 4) if record[at] == holder)
    more = len(changes) == AT_ONCE
    return Page(changes, standing_of(mark), idle_timeout_ms, grace_ms, more, frozenset(held))
