"""Whether the machine had time for the run: what is late because nobody was given a processor, is nobody's fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from reliability.oracle.spans import Span
from tests.support.timing import now_ms

_EVERY_S: Final = 0.1
# A process that waits so much of an interval for a processor cannot be judged by what it does in it.
_SHARE: Final = 0.5
_LOOP_MS: Final = 250


class Machine:
    """Notes when the machine was too busy; Linux tells how long each process has waited for a processor.

    Args:
        pids: gives the processes that count, this one aside.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self.busy: list[Span] = []

    async def watch(self) -> None:
        """Go on until cancelled."""
        waited = self._waited()
        at = time.monotonic()
        while True:
            await asyncio.sleep(_EVERY_S)
            now, now_waited = time.monotonic(), self._waited()
            took_ms = int((now - at) * 1000)
            longest_ms = (
                max((waits - waited[pid] for pid, waits in now_waited.items() if pid in waited), default=0) / 1_000_000
            )
            if took_ms - _EVERY_S * 1000 > _LOOP_MS or longest_ms > _SHARE * max(took_ms, _LOOP_MS):
                self.busy.append(Span(now_ms() - took_ms, now_ms()))
            at, waited = now, now_waited

    def _waited(self) -> dict[int, int]:
        """Nanoseconds that each process has waited while it could have run: the second field of proc's schedstat."""
        found = {}
        for pid in self._pids():
            try:
                found[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
            except (OSError, IndexError):
                continue
        return found
