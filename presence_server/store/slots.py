"""Hash slots, and the partitions that they are divided into: each a range of slots with an index of its own.

An index's tag hashes into its own range, so that it lies where its teams lie: a shard that is lost takes along its own
teams, and nobody else's.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

SLOTS: Final = REDIS_CLUSTER_HASH_SLOTS


def slot_of(key: str) -> int:
    """The slot of a key, or of a tag by itself."""
    return key_slot(key.encode())


class Partition(NamedTuple):
    """One of so many ranges of slots.

    Attributes:
        number: from 0.
        of: how many there are.
    """

    number: int
    of: int

    @property
    def tag(self) -> str:
        """The hash tag of its index."""
        return _tag(self.number, self.of)


WHOLE: Final = Partition(0, 1)


def partitions(count: int) -> list[Partition]:
    """All ranges, when there are so many."""
    return [Partition(number, count) for number in range(count)]


def number_of(tag: str, count: int) -> int:
    """Which of so many partitions a team or user lies in."""
    return 0 if count == 1 else slot_of(tag) * count // SLOTS


@cache
def _tag(number: int, count: int) -> str:
    if count == 1:
        return "due"
    attempt = 0
    while number_of(tag := f"due.{number}.{attempt}", count) != number:
        attempt += 1
    return tag
