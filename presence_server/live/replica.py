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
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson

from presence_server.core.roster import NO_MARK, Change, Mark, Update, Verdict
from presence_server.live.counters import ResyncCause
from presence_server.live.reader import Listener, Reader, forked
from presence_server.store.link import Moving, OutOfReach, Refused
from presence_server.store.store import Store

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


class Replica:
    """One team's roster on this worker.

    Args:
        team: the team's id.
        store: where it is read from.
        listener: who is told of changes; whoever made it keeps both.
        on_out_of_reach: is called when a read failed because Redis is out of reach.
        on_unheard: is called when something did not come by the feed: it is to be followed anew, and read.
        spawn: starts a task.
        resyncs: where it is counted that a roster had to be read again, by cause.

    Attributes:
        roster: what Redis has, as far as known.
        live: whether the roster is being kept up to date; snapshots may be served from it only then.
        broken: whether Redis refuses to let the team be read.
    """

    def __init__(
        self,
        team: str,
        store: Store,
        listener: Listener,
        *,
        on_out_of_reach: Callable[[str], None],
        on_unheard: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]] = asyncio.create_task,
        resyncs: Counter[str],
    ) -> None:
        self.team = team
        # A team that is left is gone at once: the garbage collector comes by seldom.
        self._listener = weakref.proxy(listener)
        self._reader = Reader(team, store, self._listener)
        self.roster = self._reader.roster
        self.live = False
        self.broken = False
        self._on_out_of_reach = on_out_of_reach
        self._on_unheard = on_unheard
        self._spawn = spawn
        self.resyncs = resyncs
        self._buffer: list[Update] = []
        self._expected = NO_MARK
        self._waiters: list[tuple[Mark, asyncio.Future[None]]] = []
        self._reading = asyncio.Lock()
        self._sync: asyncio.Task[None] | None = None
        self._check: asyncio.TimerHandle | None = None

    @property
    def idle_timeout_ms(self) -> int:
        """The team's idle timeout, as far as known."""
        return self._reader.idle_timeout_ms

    # --- what comes in ----------------------------------------------------------------------------------------------

    def hear(self, raw: bytes) -> None:
        """Take in a message of the team's channel."""
        message = orjson.loads(raw)
        update = _update(message)
        if "idle_ms" in message:
            self._reader.set_idle_timeout(message["idle_ms"])
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
            self._reader.found_fork = True
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

    def doubt(self) -> None:
        """Redis is another server than before: it may never have had the last of what this worker was told.

        Where it stands as far as the roster, or not so far, shows that. Where it stands further, the number of what was
        lost may be that of something else by now, which nobody would be told: so everybody is compared.
        """
        self._reader.doubted = True

    def go_on(self) -> None:
        """The roster is what Redis has, as a look at its mark has told: go on with what came meanwhile."""
        self.live, self._reader.doubted = True, False
        if self.broken:
            self.broken = False
            self._listener.refused(False)
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
                return
            except Refused as exc:
                if not self.broken:
                    logger.error("Redis refused to let team %s be read: %s", self.team, exc)
                    self.broken = True
                    self._listener.refused(True)
                await asyncio.sleep(BROKEN_S)

    async def read(self) -> None:
        """Bring the roster up to date from Redis, and keep it so from the feed.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        async with self._reading:
            self.live = False
            try:
                while True:
                    if await self._reader.read_once():
                        break
                    await asyncio.sleep(_AGAIN_S)
            except Refused as exc:
                # Whoever lets it be read again may be another server.
                if not isinstance(exc, Moving):
                    self.doubt()
                raise
        self.go_on()

    async def restore(self) -> None:
        """Write the roster back where Redis does not have it (see restore.lua).

        Raises:
            OutOfReach: Redis is.
        """
        await self._reader.restore()

    # --- passing on -------------------------------------------------------------------------------------------------

    def _apply(self, update: Update) -> None:
        self._reader.apply(update.changes, update.mark)
        self._release()

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
            logger.info("team %s: version %d did not come by the feed, following it anew", self.team, mark.version)
            self.resyncs[ResyncCause.UNHEARD] += 1
            self._on_unheard()
        elif self._lacks(later):
            self._expect_soon(later)

    def _lacks(self, mark: Mark) -> bool:
        mine = self.roster.mark
        return mark != NO_MARK and (mine.epoch != mark.epoch or mine.version < mark.version)


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
