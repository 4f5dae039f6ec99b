"""All tabs of a run, and who makes them do what the schedule says."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Coroutine, Iterator
from typing import Any

from reliability.oracle.bounds import Bounds
from reliability.people import People, Session
from reliability.schedule import Schedule, Step
from reliability.tab import Tab


class Crowd:
    """Everybody.

    Args:
        url: the balancer's WebSocket address.
    """

    def __init__(self, url: str, schedule: Schedule, bounds: Bounds) -> None:
        self.people = People(url, bounds)
        self._schedule = schedule
        sessions: dict[str, Session] = {}
        self._tabs = []
        for number, place in enumerate(schedule.places):
            session = sessions.setdefault(place.browser, Session(place.user, place.teams, place.browser))
            self._tabs.append(Tab(self.people, session, place.name, schedule.seed * 10_000 + number))
        self._doing: set[asyncio.Task[None]] = set()

    def do(self, step: Step) -> None:
        """Let a tab begin to do something; what makes no sense where it stands does nothing."""
        tab, chance = self._tabs[step.place], random.Random(step.draw)
        teams = self._schedule.places[step.place].teams
        if step.action == "open":
            tab.open()
            return
        arguments: dict[str, list[Any]] = {
            # Half of the time nobody touches anything: that is how people idle.
            "work": [chance.randrange(1_000, 9_000)],
            "choose": [chance.choice(["online", "busy"]), chance.choice([None, *teams])],
            "watch": self._watched(chance, teams),
            "look_away": [chance.uniform(2, 12)],
        }
        self._begin(getattr(tab, step.action)(*arguments.get(step.action, [])))

    def everybody(self, action: str, share: float, for_s: float) -> Iterator[Coroutine[None, None, None]]:
        """Make a share of all tabs that are open do something."""
        is_open = [tab for tab in self._tabs if tab.is_open]
        for tab in is_open[: math.ceil(share * len(is_open))]:
            yield getattr(tab, action)(for_s) if action == "look_away" else getattr(tab, action)()

    async def end(self) -> None:
        """Nothing of it is left."""
        for task in self._doing:
            task.cancel()
        await asyncio.gather(*self._doing, *(tab.end() for tab in self._tabs), return_exceptions=True)

    def check(self) -> None:
        """Raise what went wrong in the simulation itself."""
        for task in [task for task in self._doing if task.done()]:
            self._doing.discard(task)
            task.result()
        for tab in self._tabs:
            tab.check()

    def _watched(self, chance: random.Random, teams: tuple[str, ...]) -> list[Any]:
        team = chance.choice(teams)
        users = sorted({place.user for place in self._schedule.places if team in place.teams})
        return [team, None if chance.random() < 0.5 else chance.sample(users, min(4, len(users)))]

    def _begin(self, doing: Coroutine[None, None, None]) -> None:
        self._doing.add(asyncio.create_task(doing))
