"""Pings, and everything else that has a time, for all connections of a worker by one periodic pass.

A timer or a task a connection would cost more than the connection itself. Here each sits in one bucket of a ring that
turns once per ping interval; what is due sooner than that is entered under its tick.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Generic, Protocol, TypeVar

TICK_S: Final = 0.25


class Turning(Protocol):
    """What the wheel needs to know of a connection."""

    bucket: int


T = TypeVar("T", bound=Turning)


class Wheel(Generic[T]):
    """A ring of connections, and appointments by tick.

    Args:
        interval_s: how long one turn takes: every connection is visited once in it.
        now_s: a monotonic clock.
    """

    def __init__(self, interval_s: float, now_s: float) -> None:
        self.tick_s = min(TICK_S, interval_s / 4)
        self._ring: list[dict[T, None]] = [{} for _ in range(max(1, round(interval_s / self.tick_s)))]
        self._appointments: defaultdict[int, list[tuple[T, Callable[[T, float], None]]]] = defaultdict(list)
        self._tick = int(now_s / self.tick_s)
        self._next = 0

    def add(self, connection: T) -> None:
        """Visit a connection once a turn from now on; new ones are spread over the ring."""
        connection.bucket = self._next = (self._next + 1) % len(self._ring)
        self._ring[connection.bucket][connection] = None

    def discard(self, connection: T) -> None:
        """Stop visiting a connection; appointments pass it by on their own."""
        self._ring[connection.bucket].pop(connection, None)

    def at(self, when_s: float, connection: T, act: Callable[[T, float], None]) -> None:
        """Call `act(connection, now_s)` at a time within the next turn or so: sooner or later is memory held."""
        self._appointments[max(self._tick + 1, int(when_s / self.tick_s) + 1)].append((connection, act))

    def turn(self, now_s: float) -> Iterable[T]:
        """Keep the appointments that have come, and return the connections to visit now.

        After a standstill (the process was stopped, the machine slept) the ring does not catch up: what piled up in
        the sockets must be read before anybody's silence means something.
        """
        target = int(now_s / self.tick_s)
        behind = target - self._tick
        for tick in range(self._tick + 1, target + 1) if behind < 1000 else sorted(self._appointments):
            if tick <= target:
                for connection, act in self._appointments.pop(tick, ()):
                    act(connection, now_s)
        first, self._tick = max(self._tick + 1, target - len(self._ring) + 1), target
        for tick in range(first, target + 1):
            yield from list(self._ring[tick % len(self._ring)])
