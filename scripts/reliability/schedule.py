"""What is to happen in a run, drawn by a seed before it begins: the same seed, the same schedule."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from reliability.faults import FAULTS
from reliability.faults.fault import Hit

# Users that share a team.
_TEAM_SIZE: Final = 12
# The idle timeouts of teams, in turn, seconds.
_IDLE_S: Final = (5, 8, 15)
# How long everybody takes to come, and how long it stays quiet afterwards.
ENTRY_S: Final = 4.0
# What a tab is told to do, how often in comparison.
_WEIGHTS: Final = {
    "work": 40,
    "choose": 20,
    "open": 12,
    "close": 8,
    "reload": 6,
    "drop": 4,
    "switch": 4,
    "sign_out": 3,
    "renew": 3,
    "watch": 3,
    "look_away": 1,
}
# How often one tab is told to do something, seconds.
_EVERY_S: Final = 6.0
# From the end of one fault to the next, seconds.
_BETWEEN_S: Final = 9.0
# What must be left of a run when its last fault has ended, seconds.
_REST_S: Final = 12.0


class Place(NamedTuple):
    """One tab that may be opened: whose, in which browser."""

    user: str
    browser: str
    name: str
    teams: tuple[str, ...]


class Step(NamedTuple):
    """A tab does something, so many seconds after the start; `draw` says what else there is to decide."""

    at_s: float
    place: int
    action: str
    draw: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that happens in a run.

    Attributes:
        teams: their idle timeouts, seconds.
        places: every tab there may be.
        steps: what tabs do, in order.
        hits: the faults, in order.
    """

    seed: int
    duration_s: float
    workers: int
    teams: dict[str, int]
    places: tuple[Place, ...]
    steps: tuple[Step, ...]
    hits: tuple[Hit, ...]

    def of(self, users: frozenset[str]) -> Schedule:
        """The same without what anybody else does."""
        kept = tuple(step for step in self.steps if self.places[step.place].user in users)
        return replace(self, steps=kept)

    def until(self, duration_s: float) -> Schedule:
        """The same, but shorter."""
        steps = tuple(step for step in self.steps if step.at_s < duration_s)
        hits = tuple(hit for hit in self.hits if hit.at_s < duration_s)
        return replace(self, duration_s=duration_s, steps=steps, hits=hits)

    def users(self) -> list[str]:
        """Who does anything."""
        return sorted({self.places[step.place].user for step in self.steps})


def draw(
    seed: int, *, users: int, workers: int, duration_s: float, faults: Sequence[str], mixed: bool = False
) -> Schedule:
    """Draw a schedule.

    Args:
        faults: the names of those to draw from; one alone comes once.
        mixed: whether one may begin before the one before it has ended.
    """
    chance = random.Random(seed)
    teams = {f"team{number}": _IDLE_S[number % len(_IDLE_S)] for number in range(max(1, users // _TEAM_SIZE))}
    places = tuple(place for number in range(users) for place in _places(chance, f"u{number:03}", number, [*teams]))
    steps = sorted(step for number in range(len(places)) for step in _steps(chance, number, duration_s))
    hits = tuple(_hits(chance, duration_s, faults, mixed))
    return Schedule(seed, duration_s, workers, teams, places, tuple(steps), hits)


def _places(chance: random.Random, user: str, number: int, teams: list[str]) -> list[Place]:
    mine = [teams[number % len(teams)]]
    if len(teams) > 1 and chance.random() < 0.25:
        mine.append(teams[(number + 1) % len(teams)])
    found = []
    for browser in range(chance.choice((1, 1, 2))):
        for tab in range(chance.choice((1, 1, 2))):
            found.append(Place(user, f"{user}-b{browser}", f"{user}-b{browser}-t{tab}", tuple(mine)))
    return found


def _steps(chance: random.Random, place: int, duration_s: float) -> list[Step]:
    found = []
    if chance.random() < 0.8:
        found.append(Step(chance.uniform(0, ENTRY_S - 1), place, "open", chance.random()))
    at_s = ENTRY_S + chance.expovariate(1 / _EVERY_S)
    while at_s < duration_s:
        (action,) = chance.choices([*_WEIGHTS], [*_WEIGHTS.values()])
        found.append(Step(at_s, place, action, chance.random()))
        at_s += chance.expovariate(1 / _EVERY_S)
    return found


def _hits(chance: random.Random, duration_s: float, faults: Sequence[str], mixed: bool) -> list[Hit]:
    found: list[Hit] = []
    at_s = ENTRY_S + chance.uniform(2, 5)
    bag: list[str] = []
    while faults:
        # Each in its turn, in an order by chance: a long run has them all.
        bag = bag or chance.sample([*faults], len(faults))
        fault = bag.pop()
        for_s = chance.uniform(*FAULTS[fault].lasts_s)
        if at_s + for_s + _REST_S > duration_s and found:
            break
        found.append(Hit(at_s, fault, for_s, chance.random()))
        if len(faults) == 1:
            break
        at_s += (0 if mixed else for_s) + _BETWEEN_S * chance.uniform(0.3, 1.2)
    return found
