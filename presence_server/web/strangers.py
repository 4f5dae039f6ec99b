"""What comes to the port and does not speak HTTP as it is spoken here: counted by kind, and told once a minute."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.applications import Starlette

# Anybody can send a thousand of them a second, and would otherwise fill the log.
_TOLD_EVERY_S: Final = 60.0

_logger: Final = logging.getLogger(__name__)


class Strangers:
    """Counts by kind: `tls`, `http2`, `not_http`, `bad_http`, `large_head`, `large_body`, `too_slow`.

    Attributes:
        kinds: how many of each kind there have been.
    """

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._told_s = -_TOLD_EVERY_S

    def saw(self, kind: str) -> None:
        """Count one, and tell of all since the last time if that is a minute ago."""
        self.kinds[kind] += 1
        self._untold[kind] += 1
        now_s = time.monotonic()
        if now_s - self._told_s < _TOLD_EVERY_S:
            return
        kinds = ", ".join(f"{count} × {kind}" for kind, count in sorted(self._untold.items()))
        _logger.warning("Requests that are none: %s. More within a minute are only counted", kinds)
        self._told_s = now_s
        self._untold.clear()


def strangers_of(app: Starlette) -> Strangers:
    """The counts of an application."""
    state = app.state
    if not hasattr(state, "strangers"):
        state.strangers = Strangers()
    found: Strangers = state.strangers
    return found
