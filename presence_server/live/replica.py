"""This worker's copy of one team: a roster kept right by the feed, and by reading again whenever it may not be.

Subscribe first, then read, then apply what was published meanwhile. From then on an update either continues the roster
or reveals that something was missed; replies to this worker's own calls reveal it too, even a lost last message. What
is applied goes to the listener, in order: the one way by which anybody hears of a change.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import orjson

from presence_server.core.roster import NO_MARK, Change, Mark, News, Roster, Update, Verdict
from presence_server.live.counters import ResyncCause
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.operations import restore
from presence_server.store.store import Store
from presence_server.store.types import Page

# A reply may overtake the message of its own change; only what is still missing after so long was lost.
OVERTAKEN_S: Final = 0.5
# A team whose keys are broken is read again after so long.
BROKEN_S: Final = 1.0
# Updates kept while reading; more of them than that are read again instead.
_BUFFERED: Final = 10_000
# Before reading again what changed its epoch under the reading.
_AGAIN_S: Final = 0.01
_CAUSES: Final = {
    Verdict.HOLE: ResyncCause.HOLE,
    Verdict.FORK: ResyncCause.FORK,
    Verdict.OTHER_EPOCH: ResyncCause.OTHER_EPOCH,
}

logger: Final = logging.getLogger(__name__)


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


class Replica:
    """One team's roster on this worker.

    Args:
        team: the team's id.
        store: where it is read from.
        listener: who is told of changes; whoever made it keeps both.
        on_out_of_reach: is called when a read failed because Redis is out of reach.
        spawn: starts a task.
        resyncs: where it is counted that a roster had to be read again, by cause.

    Attributes:
        roster: what Redis has, as far as known.
        live: whether the roster is being kept up to date; snapshots may be served from it only then.
        idle_timeout_ms, grace_ms: the team's settings.
        broken: whether Redis refuses to let the team be read.
    """

    def __init__(
        self,
        team: str,
        store: Store,
        listener: Listener,
        *,
        on_out_of_reach: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]] = asyncio.create_task,
        resyncs: Counter[str],
    ) -> None:
        self.team = team
        self.roster = Roster()
        self.live = False
        self.idle_timeout_ms = 0
        self.grace_ms = 0
        self.broken = False
        self._found_fork = False
        self._store = store
        # A team that is left is gone at once: the garbage collector comes by seldom.
        self._listener = weakref.proxy(listener)
        self._on_out_of_reach = on_out_of_reach
        self._spawn = spawn
        self.resyncs = resyncs
        self._buffer: list[Update] = []
        self._expected = NO_MARK
        self._waiters: list[tuple[Mark, asyncio.Future[None]]] = []
        self._reading = asyncio.Lock()
        self._sync: asyncio.Task[None] | None = None
        self._check: asyncio.TimerHandle | None = None

    # --- what comes in ----------------------------------------------------------------------------------------------

    def hear(self, raw: bytes) -> None:
        """Take in a message of the team's channel."""
        message = orjson.loads(raw)
        update = _update(message)
        if "idle_ms" in message:
            self._set_idle_timeout(message["idle_ms"])
        if "signed_out" in message:
            user, session = message["signed_out"]
            self._listener.signed_out(user, session, update.mark.version)
        if self.live:
            self._continue(update)
        elif len(self._buffer) < _BUFFERED:
            self._buffer.append(update)

    def _continue(self, update: Update) -> None:
        verdict = self.roster.judge(update)
        if verdict is Verdict.FORK:
            self._found_fork = True
        if verdict is Verdict.NEXT:
            self._apply(update)
        elif verdict is not Verdict.KNOWN:
            logger.info("team %s: %s before version %d, reading again", self.team, verdict.value, update.mark.version)
            self.resync(_CAUSES[verdict])

    def observe(self, mark: Mark, known: Mark) -> None:
        """Compare where Redis stands with what was known when it was asked."""
        if not self.live:
            return
        mine = self.roster.mark
        if mark.epoch != mine.epoch and mark.epoch != "":
            if known.epoch == mine.epoch:
                self._expect_soon(mark)
        elif mark.epoch == known.epoch and forked(mark, known):
            logger.warning("team %s: Redis has lost changes up to version %d", self.team, known.version)
            self.resync(ResyncCause.LOST)
        elif mark.version > mine.version:
            self._expect_soon(mark)

    async def caught_up(self, mark: Mark) -> None:
        """Wait until the roster contains all of a mark that Redis has answered with."""
        if self.live and (self.roster.mark.epoch == mark.epoch and self.roster.mark.version >= mark.version):
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((mark, waiter))
        if self.live:
            self._expect_soon(mark)
        await waiter

    def pause(self) -> None:
        """Serve nothing and buffer updates until `read` has been through again."""
        self.live = False
        if self._sync is not None:
            self._sync.cancel()
            self._sync = None

    def go_on(self) -> None:
        """The roster is what Redis has, as a look at its mark has told: go on with what came meanwhile."""
        self.live = True
        buffered, self._buffer = self._buffer, []
        for update in buffered:
            if self.live:
                self._continue(update)
            elif len(self._buffer) < _BUFFERED:
                self._buffer.append(update)
        self._release()

    def close(self) -> None:
        """Stop all work; nobody is interested any more."""
        self.pause()
        if self._check is not None:
            self._check.cancel()
        for _, waiter in self._waiters:
            waiter.cancel()

    # --- reading again ----------------------------------------------------------------------------------------------

    def resync(self, cause: ResyncCause) -> None:
        """Read again what changed, in the background."""
        if self._sync is None:
            self.resyncs[cause] += 1
            self.live = False
            self._sync = self._spawn(self._resync())

    async def _resync(self) -> None:
        try:
            while True:
                try:
                    await self.read_patiently()
                    return
                except OutOfReach as exc:
                    # While a recovery is under way nobody hears this; the next one cancels it.
                    self._on_out_of_reach(str(exc))
                    await asyncio.sleep(BROKEN_S)
        finally:
            if self._sync is asyncio.current_task():
                self._sync = None

    async def read_patiently(self) -> None:
        """Like `read`, but where Redis refuses, trying again: one team's broken data is that team's trouble alone.

        Raises:
            OutOfReach: Redis is.
        """
        while True:
            try:
                await self.read()
            except Refused as exc:
                if not self.broken:
                    logger.error("Redis refused to let team %s be read: %s", self.team, exc)
                    self.broken = True
                    self._listener.refused(True)
                await asyncio.sleep(BROKEN_S)
                continue
            if self.broken:
                self.broken = False
                self._listener.refused(False)
            return

    async def read(self) -> None:
        """Bring the roster up to date from Redis, and keep it so from the feed.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        async with self._reading:
            self.live = False
            while True:
                if await self._read_once():
                    break
                await asyncio.sleep(_AGAIN_S)
        self.go_on()

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

    async def _read_once(self) -> bool:
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
            self._found_fork = False
            if mine != NO_MARK:
                # Another history: whom Redis has lost is put back before anybody is shown the new one.
                await self.restore()
                self._listener.forked()
            return await self._read_all()
        if self._found_fork or forked(mark, mine):
            self._found_fork = False
            await self._store.repairs.new_epoch(self.team, mine.epoch, mine.version)
            self._listener.forked()
            return False
        if page.standing.floor > mine.version:
            return await self._read_all()
        while True:
            self._take(page.changes, _upto(page))
            self._listener.read_again(page.held, [change.user for change in page.changes])
            if not page.more:
                self._configure(page)
                return True
            page = await self._store.reads.changes(self.team, self.roster.mark.version)
            if page.standing.mark.epoch != mine.epoch or page.standing.floor > self.roster.mark.version:
                return False

    async def _read_all(self) -> bool:
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
                return False
            if not page.more:
                break
            page = await self._store.reads.changes(self.team, page.changes[-1].version)
        self.roster.replace(changes.values(), page.standing.mark, page.standing.floor)
        self._listener.replaced()
        self._configure(page)
        self._listener.read_again(frozenset(held), None)
        return True

    # --- passing on -------------------------------------------------------------------------------------------------

    def _apply(self, update: Update) -> None:
        self._take(update.changes, update.mark)
        self._release()

    def _take(self, changes: Sequence[Change], mark: Mark) -> None:
        news = self.roster.apply(changes, mark)
        if news:
            self._listener.changed(news)

    def _configure(self, page: Page) -> None:
        self.grace_ms = page.grace_ms
        self._set_idle_timeout(page.idle_timeout_ms)

    def _set_idle_timeout(self, idle_timeout_ms: int) -> None:
        if idle_timeout_ms != self.idle_timeout_ms:
            self.idle_timeout_ms = idle_timeout_ms
            self._listener.configured(idle_timeout_ms)

    def _release(self) -> None:
        if not self._waiters:
            return
        mark = self.roster.mark
        still = []
        for wanted, waiter in self._waiters:
            # Another epoch than the one waited for is newer: it was read after the answer that named the old one.
            if wanted.epoch == mark.epoch and wanted.version > mark.version:
                still.append((wanted, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = still
        if still:
            self._expect_soon(still[-1][0])

    def _expect_soon(self, mark: Mark) -> None:
        if self._check is None:
            self._check = asyncio.get_running_loop().call_later(OVERTAKEN_S, self._check_expected, mark)
        else:
            # Looked at after the one under way, so that each is given its time.
            self._expected = mark

    def _check_expected(self, mark: Mark) -> None:
        self._check = None
        later, self._expected = self._expected, NO_MARK
        if not self.live:
            return
        if self._lacks(mark):
            logger.info("team %s: version %d did not come by the feed, reading it", self.team, mark.version)
            self.resync(ResyncCause.UNHEARD)
        elif self._lacks(later):
            self._expect_soon(later)

    def _lacks(self, mark: Mark) -> bool:
        mine = self.roster.mark
        return mark != NO_MARK and (mine.epoch != mark.epoch or mine.version < mark.version)


def forked(theirs: Mark, mine: Mark) -> bool:
    """Whether Redis, in the same epoch, has not got what was seen: an older version, or another change under it."""
    return theirs.version < mine.version or (theirs.version == mine.version and mine.tip not in ("", theirs.tip))


def _update(message: dict[str, Any]) -> Update:
    return Update(
        Mark(message["epoch"], message["version"], message["tip"]),
        message["previous"],
        message["previous_tip"],
        tuple([_change(change) for change in message.get("changes", ())]),
    )


def _change(row: list[Any]) -> Change:
    user, version, before, status, since, reason, chosen, by = row
    return Change(user, version, status, since, reason, chosen, before, by)


def _upto(page: Page) -> Mark:
    """Where a roster stands after a page: at the page's mark only if it was the last."""
    if page.more and page.changes:
        return Mark(page.standing.mark.epoch, page.changes[-1].version, "")
    return page.standing.mark
