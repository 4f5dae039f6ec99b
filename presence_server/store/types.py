"""What operations on the store are given, and what they bring back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from presence_server.core.roster import NO_MARK, Change, Mark

NO_FENCES: Mapping[str, Fence] = {}


class Fence(NamedTuple):
    """What a team remembers of a worker.

    Attributes:
        last: its last number there.
        left_ms: since when nobody of it is there, by Redis's clock; 0 while somebody is.
    """

    last: int
    left_ms: int


class Standing(NamedTuple):
    """Where a team stands, by one plain read.

    Attributes:
        mark: epoch, version and tip; `NO_MARK` when Redis has no such team.
        floor: the highest version whose change may have been forgotten.
        fences: the workers that are there, or were a short while ago.
        idle_timeout_ms: the team's own; 0 for the default.
        look_ms: until when its scripts rely on a look, by Redis's clock; 0 for none.
    """

    mark: Mark
    floor: int
    fences: Mapping[str, Fence]
    idle_timeout_ms: int = 0
    look_ms: int = 0


NO_STANDING: Final = Standing(NO_MARK, 0, NO_FENCES)


class Reply(NamedTuple):
    """What every operation that writes to a team brings back.

    Attributes:
        mark: where the team stands after it.
        idle_timeout_ms, grace_ms: the team's settings.
        now_ms: Redis's clock.
        changed: how many changes it made.
        results: the operation's own.
    """

    mark: Mark
    idle_timeout_ms: int
    grace_ms: int
    now_ms: int
    changed: int
    results: list[bytes | int]


class Page(NamedTuple):
    """A part of what changed after a version, in the order of versions.

    Attributes:
        changes: each user's newest change.
        standing: where the team stood when the page was read.
        idle_timeout_ms, grace_ms: the team's settings.
        more: whether there is another page, from the last change's version on.
        held: the user and session of each hold that the worker asked for has on the users of the page.
    """

    changes: list[Change]
    standing: Standing
    idle_timeout_ms: int
    grace_ms: int
    more: bool
    held: frozenset[tuple[str, str]]


class Burial(NamedTuple):
    """An order to take a worker's holds in a team away.

    Attributes:
        worker: whose.
        upto: those of writes up to this number; -1 for all.
        end_ms: when its lease ended, by Redis's clock: nothing is taken away before that.
    """

    worker: str
    upto: int
    end_ms: int


class Due(NamedTuple):
    """A team to look at: its burials, and the stamp by which they are struck off the list once they are done."""

    team: str
    stamp: int
    burials: tuple[Burial, ...]


class Claim(NamedTuple):
    """What a worker learns from its beat.

    Attributes:
        alive: whether the index knows it; if not, it has to go on under another name.
        now_ms: Redis's clock.
        born: a random word that changes when Redis has lost its data.
        born_ms: since when that word stands.
        restoring: how many workers are writing their rosters back.
        recorded: the worker's last number in the index.
        claimed_until: the score that the claim left in the index.
        more: whether there is more to claim at once.
        set_back: whether Redis's clock was set back within a lease.
        gaps: intervals in which nobody swept, of the last two leases, from and until.
        workers: who is alive.
        due: teams to look at, this worker's for now.
    """

    alive: bool
    now_ms: int
    born: str
    born_ms: int
    restoring: int
    recorded: int
    claimed_until: int
    more: bool
    set_back: bool
    gaps: tuple[tuple[int, int], ...]
    workers: frozenset[str]
    due: tuple[Due, ...]


class Swept(NamedTuple):
    """What a sweep of one team did.

    Attributes:
        early: whether a burial has to wait for the end of the worker's lease.
        more: whether there is more to do.
        changed: how many users changed.
        lag_ms: how late the latest of them was.
        next_ms: the team's next deadline by Redis's clock; 0 for none.
        deferred: how many deadlines had come and are put off, by an interval in which nobody swept.
    """

    early: bool
    more: bool
    changed: int
    lag_ms: int
    next_ms: int
    deferred: int


def standing_of(raw: bytes | None) -> Standing:
    """Read the value of a team's mark key; of anything but what `team.lua` takes for one, `NO_STANDING`.

    To the scripts, too, such a team is not there, and the next write makes it anew.
    """
    try:
        values: Any = orjson.loads(raw or b"[]")
        epoch, version, tip, floor, idle_ms, grace_ms, settings_at, look, *fences = values
        workers, numbers = fences[::3], [*fences[1::3], *fences[2::3]]
    except (ValueError, TypeError, KeyError):
        return NO_STANDING
    whole = len(fences) == 3 * len(workers)
    texts = (epoch, tip, *workers)
    counts = (version, floor, idle_ms, grace_ms, settings_at, look, *numbers)
    if not (whole and all(type(each) is str for each in texts) and all(type(each) is int for each in counts)):
        return NO_STANDING
    found = {worker: Fence(*pair) for worker, *pair in zip(workers, fences[1::3], fences[2::3], strict=True)}
    return Standing(Mark(epoch, version, tip), floor, found, idle_ms, look)
