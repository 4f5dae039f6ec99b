"""An event loop whose time is the test's: it runs until nothing is left to do now, and a second passes when told to.

Each worker under test has a loop of its own. One that is not run stands still, like a process that was stopped: what
has been sent to it waits in its sockets, and its timers are late when it goes on.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, Final

# Far more turns than anything takes that comes to rest.
_TURNS: Final = 20_000
RESOLUTION_S: Final = 1e-6


class Time:
    """The one time of a test, milliseconds: of Redis's epoch, so that instants of both can be compared."""

    def __init__(self) -> None:
        self.now_ms = 1_763_800_000_000

    def now_s(self) -> float:
        return self.now_ms / 1000


class _Selector(selectors.DefaultSelector):
    """Never waits, and counts what has come."""

    def __init__(self) -> None:
        super().__init__()
        self.events = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        self.events = len(found)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop by the test's time.

    Args:
        time: what the clock says.
    """

    def __init__(self, time: Time) -> None:
        self._clock = time
        self._own_selector = _Selector()
        super().__init__(self._own_selector)
        # What asyncio keeps to itself: what is ready, what is scheduled, and what its clock can tell apart.
        self._internals: Any = self
        vars(self)["_clock_resolution"] = RESOLUTION_S

    def time(self) -> float:
        return self._clock.now_s()

    def turn(self) -> bool:
        """One turn of the loop; tells whether there was anything to do."""
        self.call_soon(self.stop)
        self.run_forever()
        return bool(self._own_selector.events or self._internals._ready)

    def run_until_quiet(self, deliver: Callable[[], bool]) -> bool:
        """Run until nothing is left to do now; tells whether there was anything.

        Args:
            deliver: carries what was sent, and what came back; tells whether there was any.
        """
        worked = False
        for _ in range(_TURNS):
            if not self.turn() and not self._is_due() and not deliver():
                return worked
            worked = True
        raise AssertionError("Expected the worker to come to rest, got one that does not")

    def next_ms(self) -> float | None:
        """When the next timer is due; None when there is none."""
        timers = [timer for timer in self._internals._scheduled if not timer.cancelled()]
        return min((timer.when() for timer in timers), default=None)

    def _is_due(self) -> bool:
        due_s = self.next_ms()
        return due_s is not None and due_s < self.time() + RESOLUTION_S / 2
