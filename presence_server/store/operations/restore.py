"""`restore.lua`: write a worker's roster back into a Redis that lost it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from presence_server.core.roster import Entry

NAME = "restore"
AT_ONCE = 50


class Restore(NamedTuple):
    """A part of a roster.

    Attributes:
        word: a random one.
        seen_version: the version the worker had seen.
        idle_timeout_ms: the team's own; 0 for the default.
        grace_ms: the team's own; -1 for the default.
        users: ids and entries.
    """

    word: str
    seen_version: int
    idle_timeout_ms: int
    grace_ms: int
    users: Sequence[tuple[str, Entry]]


def encode(restore: Restore) -> list[str | int]:
    """Flatten the input."""
    rows = [
        part
        for user, entry in restore.users
        for part in (user, entry.status, entry.since, entry.reason, entry.chosen, entry.version)
    ]
    return [*restore[:4], *rows]
