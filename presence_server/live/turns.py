"""Work that may come for thousands of connections at once, done a little in each turn of the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

# How long one turn works on it; what else there is to do waits no longer for it than that.
SLICE_S: Final = 0.005


class Turns:
    """Calls functions in the order they were given, after the current turn of the loop, for a few milliseconds a turn.

    An event loop hands over everything that has arrived before it looks at anything else: when a proxy restarts, these
    are ten thousand ends of connections, or first messages, and one by one they would keep it busy for half a second.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have a function called soon."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._work)
        self._waiting.append((function, arguments))

    def _work(self) -> None:
        until_s = time.monotonic() + SLICE_S
        waiting = self._waiting
        try:
            # At least one, however late it is.
            while waiting:
                # Left in its place until it is done, so that what it adds finds the turn already called for.
                function, arguments = waiting[0]
                try:
                    function(*arguments)
                finally:
                    waiting.popleft()
                if time.monotonic() >= until_s:
                    break
        finally:
            if waiting:
                asyncio.get_running_loop().call_soon(self._work)
