"""What a fault is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from reliability.oracle.record import Trouble
from reliability.stage import Stage


class Hit(NamedTuple):
    """A fault happens, so many seconds after the start, for so long; `draw`, from 0 to 1, says to whom."""

    at_s: float
    fault: str
    for_s: float
    draw: float


CarryOut = Callable[[Stage, Hit], Awaitable[list[Trouble]]]


class Area(Enum):
    """What a fault happens to; two that happen to the same do not happen at once."""

    WORKER = "one worker, or its way to Redis"
    WORKERS = "all workers"
    REDIS = "Redis"
    CLIENTS = "clients"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, and is mended.

    Attributes:
        about: what happens, for people.
        lasts_s: from how long to how long.
        carry_out: does it, and returns what was done when everything is mended.
        area: what it happens to.
        relayed: whether the workers must reach Redis through relays.
        topologies: the ones it can happen on.
    """

    name: str
    about: str
    lasts_s: tuple[float, float]
    carry_out: CarryOut
    area: Area
    relayed: bool = False
    topologies: tuple[str, ...] = ("single", "sentinel", "cluster")
