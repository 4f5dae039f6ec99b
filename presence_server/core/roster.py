"""A team as a versioned map: apply what the store published, tell what changed since, list who is there.

The store numbers every change of a team (rule 8); a roster is right as long as it has seen every number. What it cannot
continue from, a hole or another epoch, it reports and leaves to its owner to read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from presence_server.core.messages import fragment
from presence_server.core.status import OFFLINE, Presence


class Change(NamedTuple):
    """One user's new state, as the store has it.

    Attributes:
        user: the user's id.
        version: the team's version that this change made.
        status: what teammates see from now on.
        since: instant of the commit of that status, milliseconds since the epoch.
        reason: why (rule 8 of the contract).
        chosen: what the user picked; equals `status` unless he is offline.
        before: what teammates saw until then; empty where the change was read later, and not told.
        by: who did it, None for the server itself, or where it was read later.
    """

    user: str
    version: int
    status: str
    since: int
    reason: str
    chosen: str
    before: str = ""
    by: str | None = None


class Mark(NamedTuple):
    """Where a team stands: the tip is a random word written by every change, so equal versions with unequal tips
    are two different histories."""

    epoch: str
    version: int
    tip: str


class Update(NamedTuple):
    """What one script published: the changes that led from version `previous`, whose tip was `previous_tip`, to
    `mark.version`."""

    mark: Mark
    previous: int
    previous_tip: str
    changes: tuple[Change, ...]


class Verdict(Enum):
    """What an update is to a roster."""

    NEXT = "next"
    KNOWN = "known"
    HOLE = "hole"
    FORK = "fork"
    OTHER_EPOCH = "other epoch"


class Entry:
    """One user in a roster, with its encoded form: encoded once per change, sent to everybody."""

    __slots__ = ("chosen", "fragment", "reason", "shown", "since", "status", "version")

    def __init__(self, change: Change) -> None:
        self.version = change.version
        # The version of the last change that teammates could see.
        self.shown = change.version
        self.status = change.status
        self.since = change.since
        self.reason = change.reason
        self.chosen = change.chosen
        self.fragment = fragment(change.user, Presence(change.status, change.since, change.reason))

    @property
    def presence(self) -> Presence:
        return Presence(self.status, self.since, self.reason)


class News(NamedTuple):
    """A change, and what the roster had of that user before it."""

    change: Change
    before: Entry | None

    @property
    def visible(self) -> bool:
        """Whether teammates see a difference, rather than only the user himself in what he has chosen."""
        change, before = self.change, self.before
        if before is None or not before.since:
            return change.status != OFFLINE
        return (change.status, change.since, change.reason) != (before.status, before.since, before.reason)


NO_MARK: Final = Mark("", 0, "")


class Roster:
    """The users of one team, in the order of their last change.

    Attributes:
        mark: epoch, version and tip that the map stands for; `NO_MARK` before the first read.
        floor: the highest version whose change may have been forgotten: older positions cannot be continued.
    """

    __slots__ = ("_users", "floor", "mark")

    def __init__(self) -> None:
        self.mark = NO_MARK
        self.floor = 0
        self._users: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._users)

    def get(self, user: str) -> Entry | None:
        """Return a user's entry; None for one who is offline and forgotten, or was never seen."""
        return self._users.get(user)

    def items(self) -> Iterable[tuple[str, Entry]]:
        """All entries, the ones changed longest ago first."""
        return self._users.items()

    def judge(self, update: Update) -> Verdict:
        """Tell how an update continues this roster, without applying it."""
        if self.mark == NO_MARK and update.previous == 0:
            # The team was empty when it was read, and this is the first that ever happened in it.
            return Verdict.NEXT
        if update.mark.epoch != self.mark.epoch:
            return Verdict.OTHER_EPOCH
        if update.mark.version <= self.mark.version:
            return Verdict.KNOWN
        if update.previous == self.mark.version and self.mark.tip not in ("", update.previous_tip):
            # A change that this roster has was lost, and another one made under its number.
            return Verdict.FORK
        return Verdict.HOLE if update.previous > self.mark.version else Verdict.NEXT

    def apply(self, changes: Iterable[Change], mark: Mark) -> list[News]:
        """Take over changes of this epoch, in the order of their versions, and return those that were news."""
        users = self._users
        news: list[News] = []
        for change in changes:
            if change.version <= self.mark.version:
                continue
            # Taken out first, so that the dict stays in the order of last changes: `since` relies on it.
            before = users.pop(change.user, None)
            entry = users[change.user] = Entry(change)
            item = News(change, before)
            if before is not None and not item.visible:
                entry.shown = before.shown
            news.append(item)
        self.mark = mark
        return news

    def replace(self, changes: Iterable[Change], mark: Mark, floor: int) -> None:
        """Take over a complete read, in the order of versions: who is not in it is offline."""
        before = self._users if mark.epoch == self.mark.epoch else {}
        self._users = {change.user: Entry(change) for change in changes}
        for user, known in before.items():
            entry = self._users.get(user)
            if entry is not None and entry.presence == known.presence:
                # What changed since was his choice at most: teammates are not told the same again.
                entry.shown = known.shown
        self.mark = mark
        self.floor = floor

    def agrees(self, changes: Iterable[Change]) -> bool:
        """Tell whether a complete read has, of all that is no newer than this roster, just what the roster has.

        Otherwise something that the roster knows was lost, and its number may be that of another change by now.
        """
        missing = {user for user, _ in self.visible()}
        for change in changes:
            missing.discard(change.user)
            entry = self._users.get(change.user)
            if change.version > self.mark.version:
                continue
            if entry is None:
                # Whoever is offline may have been forgotten here, or there.
                agrees = change.status == OFFLINE
            else:
                # A sign-out that nobody sees a difference of gives him another version, and tells of no change.
                agrees = (change.status, change.since, change.chosen) == (entry.status, entry.since, entry.chosen)
            if not agrees:
                return False
        return not missing

    def continues(self, epoch: str, version: int) -> bool:
        """Tell whether a view at that position can be brought up to date with a delta."""
        return epoch == self.mark.epoch and self.floor <= version <= self.mark.version

    def since(self, version: int) -> Iterator[tuple[str, Entry]]:
        """Users changed after `version`, newest first; costs as much as there are of them."""
        for user, entry in reversed(self._users.items()):
            if entry.version <= version:
                return
            yield user, entry

    def visible(self) -> Iterator[tuple[str, Entry]]:
        """Users who are not offline."""
        return ((user, entry) for user, entry in self._users.items() if entry.status != OFFLINE)

    def forget_offline(self, before_ms: int) -> int:
        """Drop the users who went offline before an instant, raise the floor, and return how many there were.

        Without this, everybody who ever showed up would stay in memory.
        """
        gone = [user for user, entry in self._users.items() if entry.status == OFFLINE and entry.since < before_ms]
        for user in gone:
            self.floor = max(self.floor, self._users.pop(user).version)
        return len(gone)
