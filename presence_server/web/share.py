"""Who accepts next, where several processes listen on one port.

They share one listening socket, and with it one backlog: what a process does not take, because it is busy, stands
still or drains, another does. (With `SO_REUSEPORT` each would have a backlog of its own: connections that wait in it
are reset when its process ends, and wait for as long as that stands still.) But in quiet times whoever is woken first
takes all, 94 of 100, and connections last for hours. So each process tells the others how many it has, and one that has
more than another waits a moment.
"""

from __future__ import annotations

import mmap
import sys
import tempfile
from typing import BinaryIO, Final, cast

_ITEM_BYTES: Final = 8
# What an empty place says: nobody waits for it.
_NOBODY: Final = sys.maxsize


class Share:
    """One process's place in a table of connections that all of them have mapped into memory.

    Args:
        descriptor: of the table's file; stays the caller's.
        place: this process's, from 0; no other has it.
    """

    def __init__(self, descriptor: int, place: int) -> None:
        self._counts = memoryview(mmap.mmap(descriptor, 0)).cast("q")
        self._place = place

    def in_turn(self, count: int) -> bool:
        """Tell the others of `count` connections; returns whether none of them has fewer."""
        counts = self._counts
        counts[self._place] = count
        return count <= min(counts)

    def served(self) -> bool:
        """Whether any process takes connections, this one included."""
        return min(self._counts) < _NOBODY

    def leave(self) -> None:
        """Take connections no more."""
        self._counts[self._place] = _NOBODY


class Table:
    """The table, as the process that starts the others keeps it.

    Args:
        places: how many processes there may be at a time.
    """

    def __init__(self, places: int) -> None:
        self._file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - kept open as long as the table
        self._file.write(_NOBODY.to_bytes(_ITEM_BYTES, sys.byteorder) * places)
        self._file.flush()
        self._free = list(range(places))

    @property
    def descriptor(self) -> int:
        """What a process needs to map the table."""
        return self._file.fileno()

    def take(self) -> int:
        """Return a place that is nobody's."""
        return self._free.pop()

    def give_back(self, place: int) -> None:
        """Clear the place of a process that has ended, however it did."""
        Share(self.descriptor, place).leave()
        self._free.append(place)

    def close(self) -> None:
        """Let go of the file; who has mapped it keeps it."""
        self._file.close()
