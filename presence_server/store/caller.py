"""How an operation is called and what its reply means: configuration, Redis's clock, gaps, and who hears of replies."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from presence_server.core.roster import Mark
from presence_server.settings import Settings
from presence_server.store.due import DueIndex
from presence_server.store.keys import Keys
from presence_server.store.link import Command, Executor, evaluate
from presence_server.store.scripts import Scripts
from presence_server.store.types import Reply

# Clocks drift apart by less than that between two answers; more is a jump, after which nothing is known but one answer.
DRIFT_MS: Final = 250


class Port(Protocol):
    """What the store asks of whoever follows teams: the one way from here upward."""

    def known(self, team: str) -> Mark:
        """The mark of the roster that there is of a team; `NO_MARK` for none."""

    def observe(self, team: str, reply: Reply, known: Mark) -> None:
        """A reply has come, to a call that was sent when `known` was known."""


class Caller:
    """Makes commands of operations, and replies of what comes back.

    Args:
        link: where commands go.
        scripts: the scripts.
        keys: names of keys.
        settings: the lease and the defaults of teams.
        port: who knows teams, and hears of replies.
        clock: a monotonic clock, seconds.

    Attributes:
        gaps: the intervals in which nobody swept, as the last claim told.
        due: what this worker has told the index of.
        changes_published: how many changes this worker's calls have made.
        tell_index: sends a command to the index with the next pipeline, whenever Redis can; set by whoever sends.
    """

    tell_index: Callable[[Command], object]

    def __init__(
        self, link: Executor, scripts: Scripts, keys: Keys, settings: Settings, port: Port, clock: Callable[[], float]
    ) -> None:
        self.link = link
        self.keys = keys
        self.settings = settings
        self.port = port
        self.clock = clock
        self.due = DueIndex(keys.due)
        self.gaps: tuple[tuple[int, int], ...] = ()
        self.changes_published = 0
        self._scripts = scripts
        self._ahead_ms = 0.0
        self._salt = secrets.token_hex(4)
        self._words = 0

    # --- time -------------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Redis's clock, as far as known: never ahead of it by more than the last question took to reach it."""
        return int(self.clock() * 1000 + self._ahead_ms)

    def instant_ms(self, at_s: float) -> int:
        """An instant of the monotonic clock by Redis's; never in the future."""
        return int(min(at_s, self.clock()) * 1000 + self._ahead_ms)

    def set_clock(self, now_ms: int, sent_s: float) -> float:
        """Redis has told its time; returns by how many milliseconds it jumped against this machine's.

        Args:
            now_ms: what it said.
            sent_s: when it was asked, by the monotonic clock.
        """
        # It said so at some instant between question and answer, in whole milliseconds. An answer that is read late, on
        # a busy machine, proves nothing against what an earlier one has shown: by it, input would count as older.
        least, most = now_ms - self.clock() * 1000, now_ms + 1 - sent_s * 1000
        known_ms = self._ahead_ms
        if known_ms < least:
            self._ahead_ms = least
            return least - known_ms
        self._ahead_ms = least if known_ms - most >= DRIFT_MS else min(known_ms, most)
        return min(0.0, most - 1 - known_ms)

    # --- calls ------------------------------------------------------------------------------------------------------

    def word(self) -> str:
        """A word that nobody else has: a tip, or an epoch."""
        self._words += 1
        return f"{self._salt}{self._words:x}"

    def command(self, name: str, team: str, arguments: Sequence[Any]) -> Command:
        """A script on a team."""
        return evaluate(self._scripts[name], self.keys.team(team), *arguments)

    def index_command(self, name: str, arguments: Sequence[Any]) -> Command:
        """A script on the index."""
        return evaluate(self._scripts[name], self.keys.due, *arguments)

    async def call(self, name: str, team: str, arguments: Sequence[Any], *, due_ms: int | None = None) -> Reply:
        """Run a script that writes to a team, and is not numbered.

        Args:
            name: of the script.
            team: which.
            arguments: of the script.
            due_ms: the earliest deadline it may set, of which the index has to know before.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        known = self.port.known(team)
        commands = [self.command(name, team, arguments)]
        if due_ms is not None and (entry := self.due.entry(team, due_ms, self.now_ms())) is not None:
            commands.insert(0, entry)
        return self.reply(team, (await self.link.execute(commands))[-1], known)

    def reply(self, team: str, raw: Sequence[Any], known: Mark) -> Reply:
        """Read what a script that writes gave back, and pass it on: to whoever follows the team, and to the index."""
        _ok, now_ms, epoch, version, tip, idle_timeout_ms, grace_ms, look_ms, changed, *results = raw
        self.changes_published += changed
        reply = Reply(
            Mark(epoch.decode(), version, tip.decode()), idle_timeout_ms, grace_ms, now_ms, changed, list(results)
        )
        self.port.observe(team, reply, known)
        if look_ms:
            self.tell_index(self.due.command(team, look_ms))
        return reply
