"""`part.lua`: a worker has nobody in a team any more."""

from __future__ import annotations

from typing import NamedTuple

from presence_server.core.roster import Mark

NAME = "part"


class Part(NamedTuple):
    """The worker's last words.

    Attributes:
        worker: its name.
        until_ms: the end of its lease, by Redis's clock.
        before: the number of its last write there.
        number: of this one.
        mark: where the team stands as far as the worker knows; `NO_MARK` if it does not follow it.
    """

    worker: str
    until_ms: int
    before: int
    number: int
    mark: Mark


def encode(part: Part) -> list[str | int]:
    """Flatten the input."""
    return [*part[:4], *part.mark]
