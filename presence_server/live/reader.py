"""Reading one team's roster from Redis, and writing back what Redis has lost; whoever listens is told, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from presence_server.core.roster import NO_MARK, Change, Mark, News, Roster
from presence_server.store.operations import restore
from presence_server.store.store import Store
from presence_server.store.types import Page


class _Whole(NamedTuple):
    """A complete read: everybody, in the order of versions, the last page, and whom of this worker Redis holds."""

    changes: list[Change]
    last: Page
    held: frozenset[tuple[str, str]]


class Listener(Protocol):
    """Who is told what happens to a team."""

    def changed(self, news: Sequence[News]) -> None:
        """These users changed, in this order."""

    def replaced(self) -> None:
        """The whole roster is another one."""

    def configured(self, idle_timeout_ms: int) -> None:
        """The team's idle timeout, which may have changed."""

    def signed_out(self, user: str, session: str, version: int) -> None:
        """A session, or with an empty name every session, of a user ended in this team when it was at `version`."""

    def read_again(self, held: frozenset[tuple[str, str]], users: Sequence[str] | None) -> None:
        """Users were read, with None all: with them, whom of this worker Redis holds, by user and session."""

    def forked(self) -> None:
        """Redis has another history than this worker: what it was told must be told again."""

    def refused(self, refused: bool) -> None:
        """Redis refuses to let the team be read, or does not any more."""


class Reader:
    """A team's roster and settings as they were read last.

    Args:
        team: the team's id.
        store: where it is read from.
        listener: who is told of changes.

    Attributes:
        roster: what Redis has, as far as known.
        idle_timeout_ms, grace_ms: the team's settings.
        found_fork: whether a message has told of another history than the roster's.
        doubted: whether Redis may have such a one where it stands further than the roster.
    """

    def __init__(self, team: str, store: Store, listener: Listener) -> None:
        self.team = team
        self.roster = Roster()
        self.idle_timeout_ms = 0
        self.grace_ms = 0
        self.found_fork = self.doubted = False
        self._store = store
        self._listener = listener

    async def read_once(self) -> bool:
        """Bring the roster up to date; False where it changed its history meanwhile, and has to be read again.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        mine = self.roster.mark
        page = await self._store.reads.changes(self.team, mine.version)
        mark = page.standing.mark
        # Compared before anything is replaced: otherwise it would hide what was lost.
        if mark == NO_MARK:
            if mine == NO_MARK:
                self._configure(page)
                return True
            await self.restore()
            self._listener.forked()
            return False
        if mark.epoch != mine.epoch:
            self.found_fork = self.doubted = False
            if mine != NO_MARK:
                # Another history: whom Redis has lost is put back before anybody is shown the new one.
                await self.restore()
                self._listener.forked()
            return await self._read_all()
        if self.doubted and mark.version > mine.version:
            whole = await self._collect()
            if whole is None:
                return False
            self.found_fork |= not self.roster.agrees(whole.changes)
        if self.found_fork or forked(mark, mine):
            self.found_fork = self.doubted = False
            await self._store.repairs.new_epoch(self.team, mine.epoch, mine.version)
            self._listener.forked()
            return False
        self.doubted = False
        if page.standing.floor > mine.version:
            return await self._read_all()
        while True:
            self.apply(page.changes, _upto(page))
            self._listener.read_again(page.held, [change.user for change in page.changes])
            if not page.more:
                self._configure(page)
                return True
            page = await self._store.reads.changes(self.team, self.roster.mark.version)
            if page.standing.mark.epoch != mine.epoch or page.standing.floor > self.roster.mark.version:
                return False

    async def _read_all(self) -> bool:
        whole = await self._collect()
        if whole is None:
            return False
        self.roster.replace(whole.changes, whole.last.standing.mark, whole.last.standing.floor)
        self._listener.replaced()
        self._configure(whole.last)
        self._listener.read_again(whole.held, None)
        return True

    async def _collect(self) -> _Whole | None:
        """Read all there is; None where the history is another one than at the start."""
        changes: dict[str, Change] = {}
        page = await self._store.reads.changes(self.team, 0)
        first = page.standing.mark.epoch
        held: set[tuple[str, str]] = set()
        while True:
            held |= page.held
            for change in page.changes:
                changes.pop(change.user, None)
                changes[change.user] = change
            if page.standing.mark.epoch != first:
                return None
            if not page.more:
                return _Whole(list(changes.values()), page, frozenset(held))
            page = await self._store.reads.changes(self.team, page.changes[-1].version)

    async def restore(self) -> None:
        """Write the roster back where Redis does not have it (see restore.lua).

        Raises:
            OutOfReach: Redis is.
        """
        if self.roster.mark == NO_MARK:
            return
        rows = list(self.roster.items())
        seen = self.roster.mark.version
        for at in range(0, max(1, len(rows)), restore.AT_ONCE):
            part = rows[at : at + restore.AT_ONCE]
            await self._store.repairs.restore(
                self.team, part, seen, idle_timeout_ms=self.idle_timeout_ms, grace_ms=self.grace_ms
            )

    def apply(self, changes: Sequence[Change], mark: Mark) -> None:
        """Take in changes, and tell of those that are news."""
        news = self.roster.apply(changes, mark)
        if news:
            self._listener.changed(news)

    def set_idle_timeout(self, idle_timeout_ms: int) -> None:
        """Take note of the team's idle timeout, and tell if it is another."""
        if idle_timeout_ms != self.idle_timeout_ms:
            self.idle_timeout_ms = idle_timeout_ms
            self._listener.configured(idle_timeout_ms)

    def _configure(self, page: Page) -> None:
        self.grace_ms = page.grace_ms
        self.set_idle_timeout(page.idle_timeout_ms)


def forked(theirs: Mark, mine: Mark) -> bool:
    """Whether Redis, in the same epoch, has not got what was seen: an older version, or another change under it."""
    return theirs.version < mine.version or (theirs.version == mine.version and mine.tip not in ("", theirs.tip))


def _upto(page: Page) -> Mark:
    """Where a roster stands after a page: at the page's mark only if it was the last."""
    if page.more and page.changes:
        return Mark(page.standing.mark.epoch, page.changes[-1].version, "")
    return page.standing.mark
