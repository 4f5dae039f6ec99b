"""`hold.lua`: bring holds into line with what a worker has (rules 3, 4, 6 and 7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

NAME = "hold"

SIGNED_OUT = -1


class Telling(NamedTuple):
    """What a team is told of one hold.

    Attributes:
        user, session: whose it is.
        connections: how many are open; 0 for lost or closed, `SIGNED_OUT` when the session ended.
        active_ms: instant of the user's last input, by Redis's clock.
        issued_at_s: the newest `iat` among the tokens, 0 for none.
        joined_version: the team's version at which it was joined before, 0 for not yet.
        is_new: whether a connection has come.
    """

    user: str
    session: str
    connections: int
    active_ms: int
    issued_at_s: int
    joined_version: int
    is_new: bool


class Told(NamedTuple):
    """What a team answers.

    Attributes:
        was_here: whether it knew the worker before.
        chosen: for each hold the chosen status; empty when it may not be, or is none any more.
    """

    was_here: bool
    chosen: list[str]


def encode(tellings: Iterable[Telling]) -> list[str | int]:
    """Flatten the entries."""
    return [part for telling in tellings for part in (*telling[:6], int(telling.is_new))]


def decode(results: Sequence[bytes | int]) -> Told:
    """Read the results."""
    return Told(results[0] == 1, [chosen.decode() for chosen in results[1:] if isinstance(chosen, bytes)])
