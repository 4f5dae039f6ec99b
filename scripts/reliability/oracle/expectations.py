"""What may be expected of teams: a fault that concerns others excuses nothing."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from reliability.oracle.choices import Choices
from reliability.oracle.delays import Delays
from reliability.oracle.presence import Presence
from reliability.oracle.record import Record


class Expected(NamedTuple):
    """With the faults that concern some teams."""

    delays: Delays
    presence: Presence
    choices: Choices


class Expectations:
    """What may be expected in a run."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.of = cache(self._of)

    def _of(self, *teams: str) -> Expected:
        """What may be expected where any of these teams is concerned."""
        record = self._record.concerning(teams)
        delays = Delays(record)
        return Expected(delays, Presence(record, delays), Choices(record, delays))
