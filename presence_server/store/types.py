"""What operations on the store bring back."""

from __future__ import annotations

from typing import Any, NamedTuple

from presence_server.core.roster import Change, Mark


class Reply(NamedTuple):
    """What every operation on a team brings back.

    Attributes:
        mark: where the team stands after it.
        idle_timeout_ms: the team's idle timeout.
        now_ms: Redis's clock.
        body: the script's own results.
    """

    mark: Mark
    idle_timeout_ms: int
    now_ms: int
    body: dict[str, Any]


class Page(NamedTuple):
    """A part of what changed after a version, in the order of versions.

    Attributes:
        changes: each user's newest change.
        mark: where the team stood when the page was read; an empty epoch when Redis knows no such team.
        floor: the highest version whose change may have been forgotten.
        idle_timeout_ms: the team's idle timeout.
        more: whether there is another page, from the last change's version on.
    """

    changes: list[Change]
    mark: Mark
    floor: int
    idle_timeout_ms: int
    more: bool


class Claim(NamedTuple):
    """What a worker learns when it asks which teams are due.

    Attributes:
        teams: teams to sweep, this worker's for now.
        claimed_until: the score that the claim left in the index, as Redis writes it.
        now_ms: Redis's clock.
        gap: the last interval in which nobody swept, from and until.
        born: a random word that changes when Redis has lost its data.
        born_ms: since when that word stands.
        restoring: how many workers are writing their rosters back.
    """

    teams: tuple[str, ...]
    claimed_until: int
    now_ms: int
    gap: tuple[int, int]
    born: str
    born_ms: int
    restoring: int


class Swept(NamedTuple):
    """What a sweep of one team did.

    Attributes:
        changed: how many users changed.
        lag_ms: how late the latest of them was.
        seen: how many users were due.
        more: whether others are due still.
        deadline_ms: the team's earliest deadline now, by Redis's clock; None when nobody has one.
        now_ms: Redis's clock.
    """

    changed: int
    lag_ms: int
    seen: int
    more: bool
    deadline_ms: int | None
    now_ms: int


class Lost(Exception):
    """The team is empty in Redis although this worker has a roster of it."""
