"""File descriptors kept back, so that a worker never loses what it has for want of one more.

A worker that has used up its descriptors for sockets of clients could not reach Redis again, nor answer a probe on a
port of its own. So accepting stops some way before that.
"""

from __future__ import annotations

import logging
import os
import resource
import time
from typing import Final

# For Redis, key sets, files; a quarter of the limit where that is small.
_KEPT: Final = 64
_TOLD_EVERY_S: Final = 60.0

_logger: Final = logging.getLogger(__name__)


class Descriptors:
    """Tells whether there are descriptors left for clients.

    Args:
        limit: of open files; what the system allows when None.
        kept: how many to keep back, at most a quarter of them.

    Attributes:
        refusals: how often there were none left.
    """

    def __init__(self, limit: int | None = None, *, kept: int = _KEPT) -> None:
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
        self._ceiling = allowed - min(kept, allowed // 4)
        self.refusals = 0
        self._told_s = -_TOLD_EVERY_S

    def left(self, descriptor: int) -> bool:
        """Tell whether a client may have one more.

        Args:
            descriptor: of any open file. Its copy gets the lowest number that is free, as the next socket would.
        """
        try:
            copy = os.dup(descriptor)
        except OSError:
            copy = self._ceiling
        else:
            os.close(copy)
        if copy < self._ceiling:
            return True
        self._complain()
        return False

    def _complain(self) -> None:
        self.refusals += 1
        now_s = time.monotonic()
        if now_s - self._told_s >= _TOLD_EVERY_S:
            self._told_s = now_s
            _logger.error(
                "Expected a file descriptor for one more connection, got none to spare of %d: it waits until another "
                "ends; raise the limit of open files (ulimit -Hn, LimitNOFILE)",
                self._ceiling,
            )
