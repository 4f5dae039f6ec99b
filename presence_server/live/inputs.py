"""Human input on its way to Redis: told when it could matter, and otherwise rarely, many at once.

Who may be offline is told at once; of who is visible, Redis learns every quarter of the idle timeout, at most a minute.
That never makes anybody idle: his deadline is the timeout after the input that was told last.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection
from typing import Final, Protocol

from presence_server.core.status import OFFLINE
from presence_server.live.members import Members
from presence_server.store.hold import Hold
from presence_server.store.link import OutOfReach, Refused, Unreached
from presence_server.store.store import Store

MOST_S: Final = 60.0
# Told a little before it is owed.
_SHARE: Final = 0.9
_TICK_S: Final = 0.5

logger: Final = logging.getLogger(__name__)


class Statuses(Protocol):
    """What is known of teams."""

    def status_of(self, team: str, user: str) -> str:
        """What a user is shown as."""

    def idle_timeout_s(self, team: str) -> float:
        """A team's idle timeout."""


class Inputs:
    """Notes input, and tells it.

    Args:
        store: where it is told.
        members: whose holds these are.
        statuses: what is known of teams.
        clock: a monotonic clock, seconds.
    """

    def __init__(self, store: Store, members: Members, statuses: Statuses, clock: Callable[[], float]) -> None:
        self._store = store
        self._members = members
        self._statuses = statuses
        self._clock = clock
        # When each team with news must be told it.
        self._due_s: dict[str, float] = {}
        self._wake = asyncio.Event()

    def touch(self, hold: Hold, active_s: float, now_s: float) -> None:
        """There was input: note it, to be told in time."""
        if active_s <= hold.active_s:
            return
        hold.active_s = active_s
        self._note(hold, now_s)

    def contradict(self, team: str, user: str) -> None:
        """He is shown as idle: if there is newer input than that, say so at once."""
        now_s = self._clock()
        for hold in self._members.holds_on(team, user):
            if hold.version and hold.active_s + self._statuses.idle_timeout_s(team) > now_s:
                hold.told_s = -math.inf
                self._note(hold, now_s)

    def tell_now(self) -> None:
        """Redis is back: tell at once what could not be told, before anybody looks idle for it."""
        self._wake.set()

    def tell_team(self, team: str) -> None:
        """The team's timeout is about to change: what was not owed yet may matter by the new one."""
        self._due_s[team] = self._clock()
        self._wake.set()

    def tell_all(self) -> None:
        """Redis's clock jumped: what it was told is another time now."""
        now_s = self._clock()
        for team in self._members.teams():
            for hold in self._members.holds_of(team):
                hold.told_s = -math.inf
            self._due_s[team] = now_s
        self._wake.set()

    def _note(self, hold: Hold, now_s: float) -> None:
        due_s = hold.told_s + _SHARE * min(MOST_S, self._statuses.idle_timeout_s(hold.team) / 4)
        if due_s < self._due_s.get(hold.team, float("inf")):
            # Whoever waits for nothing has to begin to look at the clock.
            if due_s <= now_s or not self._due_s:
                self._wake.set()
            self._due_s[hold.team] = due_s

    async def run(self) -> None:
        """Tell what is due, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_TICK_S if self._due_s else None):
                    await self._wake.wait()
                # What else came in this turn goes along.
                await asyncio.sleep(0)
            except TimeoutError:
                pass
            self._wake.clear()
            now_s = self._clock()
            due = [team for team, due_s in self._due_s.items() if due_s <= now_s]
            if due and self._store.open:
                for team in due:
                    del self._due_s[team]
                await self._tell(due)

    async def _tell(self, teams: Collection[str]) -> None:
        shown: dict[str, list[tuple[str, float]]] = {}
        others: dict[str, list[tuple[str, float]]] = {}
        holds: list[tuple[Hold, float]] = []
        for team in teams:
            for user, active_s in self._news_of(team, holds).items():
                of = others if self._statuses.status_of(team, user) == OFFLINE else shown
                of.setdefault(team, []).append((user, active_s))
        try:
            for team in await self._store.repairs.tell_input(shown.items()):
                # Some of them have gone idle, or newer input of theirs is known from elsewhere: the script tells which.
                others.setdefault(team, []).extend(shown[team])
            untold = {team for team, inputs in others.items() if not await self._touch(team, inputs)}
        except OutOfReach as exc:
            untold = set(teams)
            self._store.down(str(exc))
        for hold, active_s in holds:
            if hold.team in untold:
                self._due_s[hold.team] = 0.0
            else:
                hold.told_s = max(hold.told_s, active_s)

    def _news_of(self, team: str, holds: list[tuple[Hold, float]]) -> dict[str, float]:
        news: dict[str, float] = {}
        for hold in self._members.holds_of(team):
            # What is on its way in brings its input along.
            if hold.active_s > hold.told_s and hold.version:
                news[hold.user] = max(hold.active_s, news.get(hold.user, 0.0))
                holds.append((hold, hold.active_s))
        return news

    async def _touch(self, team: str, inputs: list[tuple[str, float]]) -> bool:
        """Let the script tell; False where it is to be told again."""
        try:
            await self._store.repairs.touch(team, inputs)
        except Unreached:
            return False
        except Refused as exc:
            logger.error("Redis refused input of team %s: %s", team, exc)
        return True
