"""What Redis has of a team and its users, read past all scripts."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
import redis

from presence_server.store.keys import Keys
from presence_server.store.types import Standing, standing_of


class Stored(NamedTuple):
    """A user, as users.lua keeps him.

    Attributes:
        holds: by worker and session, open connections.
    """

    chosen: str
    status: str
    since_ms: int
    reason: str
    active_ms: int
    grace_ms: int
    holds: dict[tuple[str, str], int]


def read_user(client: redis.Redis, keys: Keys, team: str, user: str) -> Stored | None:
    """A user, as Redis has him; None when it has not."""
    base = keys.team(team)
    raw: Any = client.get(f"{base}:user:{user}")
    if raw is None:
        return None
    row = orjson.loads(raw)
    shown: Any = client.zscore(f"{base}:active", user)
    holds = {(row[at], row[at + 1]): row[at + 2] for at in range(11, len(row), 4)}
    active_ms = int(row[4] if shown is None else shown)
    return Stored(row[0] or "online", row[1], row[2], row[3], active_ms, row[9], holds)


def read_standing(client: redis.Redis, keys: Keys, team: str) -> Standing:
    """A team's mark and fences."""
    raw: Any = client.get(keys.mark(team))
    return standing_of(raw)
