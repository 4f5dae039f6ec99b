"""`claim.lua`: beat, and learn what is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from presence_server.store.types import Burial, Claim, Due

NAME = "claim"
# Teams that one claim brings, and teams of dead workers that it orders burials for: each keeps a script short.
AT_ONCE = 200
BURIALS_AT_ONCE = 500


class Beat(NamedTuple):
    """What a worker says.

    Attributes:
        worker: its name.
        is_new: whether this is its first beat under that name.
        word: a random one.
        teams: how many it can look at.
        restoring: whether it is writing its rosters back.
        sweeps: whether it sees to deadlines.
    """

    worker: str
    is_new: bool
    word: str
    teams: int
    restoring: bool
    sweeps: bool


def encode(beat: Beat) -> list[str | int]:
    """Flatten the input."""
    worker, is_new, word, teams, restoring, sweeps = beat
    return [worker, int(is_new), word, teams, int(restoring), BURIALS_AT_ONCE if teams else 0, int(sweeps)]


def decode(raw: Sequence[Any], lease_ms: int) -> Claim:
    """Read the reply."""
    alive, now_ms, born, born_ms, restoring, recorded, until, more, set_back, gaps, workers, teams = raw
    due = [_due(teams[i].decode(), teams[i + 1], now_ms + lease_ms) for i in range(0, len(teams), 2)]
    return Claim(
        alive=alive == 1,
        now_ms=now_ms,
        born=born.decode(),
        born_ms=born_ms,
        restoring=restoring,
        recorded=recorded,
        claimed_until=until,
        more=more == 1,
        set_back=set_back == 1,
        gaps=tuple((int(start), int(end)) for start, end in orjson.loads(gaps)) if gaps != b"{}" else (),
        workers=frozenset(worker.decode() for worker in workers),
        due=tuple(due),
    )


def _due(team: str, orders: bytes, latest_ms: int) -> Due:
    if not orders:
        return Due(team, 0, ())
    stamp, *rows = orjson.loads(orders)
    # No order is for later than a lease from when it was given; a clock that was set back may make it look so.
    burials = [Burial(rows[i], int(rows[i + 1]), min(int(rows[i + 2]), latest_ms)) for i in range(0, len(rows), 3)]
    return Due(team, int(stamp), tuple(burials))
