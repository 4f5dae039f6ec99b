"""By how much faults may put off what the contract promises."""

from __future__ import annotations

from typing import NamedTuple

from reliability.oracle.record import Loss, Record, Transcript, Trouble
from reliability.oracle.spans import Span


class Window(NamedTuple):
    """While it lasts what is due may not come; by `recovered` it must have come."""

    start: int
    end: int
    recovered: int


class Delays:
    """Instants by which things must have happened, given the faults of a run. All in milliseconds since the epoch."""

    def __init__(self, record: Record) -> None:
        self._record, self._bounds = record, record.bounds
        busy = [Window(start, end, end + self._bounds.agreement) for start, end in record.busy]
        outages = [self._window(trouble) for trouble in record.troubles if trouble.outage and trouble.worker is None]
        self._of_all = sorted([*busy, *outages])
        self._busy, self._outages = sorted(busy), outages
        self._of: dict[str | None, list[Window]] = {}

    def troubles_of(self, worker: str | None) -> list[Trouble]:
        """The faults of one worker; of any, where it is not known which it was."""
        return [each for each in self._record.troubles if each.worker and worker in (None, each.worker)]

    def windows(self, worker: str | None) -> list[Window]:
        """All that concerns what goes through a worker."""
        if worker not in self._of:
            own = [self._window(trouble) for trouble in self.troubles_of(worker)]
            self._of[worker] = sorted([*self._of_all, *own])
        return self._of[worker]

    def reading(self, each: Transcript) -> list[Window]:
        """All that concerns what comes to a client: that of its worker, and when it did not read."""
        return sorted([*self.windows(each.worker), *self._unread(each)])

    def late(self, due: int, worker: str | None) -> int:
        """When at the latest what is due at an instant has come through a worker."""
        return _put_off(due + self._slow(due), self.windows(worker))

    def read(self, due: int, each: Transcript) -> int:
        """When at the latest what is due at an instant has been read by a client."""
        return _put_off(due + self._slow(due), self.reading(each))

    def everywhere(self, due: int) -> int:
        """When at the latest what is due at an instant has come, whichever worker it takes."""
        return _put_off(due + self._slow(due), self._of_all)

    def read_without_faults(self, due: int, each: Transcript) -> int:
        """When it would have been read at the latest, had there been no faults, on this machine."""
        return _put_off(due, sorted([*self._busy, *self._unread(each)]))

    def noticed(self, deadline: int) -> int:
        """When at the latest a deadline of going offline has been noticed (rule 10)."""
        bounds = self._bounds
        due = deadline
        for start, _, recovered in self._outages:
            if start - bounds.notice - bounds.transit <= due < recovered + bounds.lease:
                due = max(due, recovered + bounds.lease)
        return self.everywhere(due + bounds.notice)

    def outage_at(self, at: int) -> Window | None:
        """The outage of Redis in which an instant lies, if it does, or before which what was told is lost."""
        windows = [*self.losses(), *self._outages]
        return next((window for window in windows if window.start <= at < window.recovered), None)

    def is_lost(self, at: int) -> bool:
        """Whether what Redis was told at an instant may be lost."""
        return any(window.start <= at < window.end for window in self.losses())

    def is_out(self, at: int, drained: Span) -> bool:
        """Whether Redis went out of reach before an instant and was not back when a drain was over."""
        reach = self._bounds.transit
        return any(
            start - reach <= at <= drained.end and drained.start <= recovered for start, _, recovered in self._outages
        )

    def losses(self) -> list[Window]:
        """From when on writes may be lost, and until when that is made good."""
        lossy = [each for each in self._record.troubles if each.loss is Loss.LAST_WRITES]
        return [self._window(each)._replace(start=each.span.start - 1_000) for each in lossy]

    def _unread(self, each: Transcript) -> list[Window]:
        return [Window(start, end, end + self._bounds.recovery) for start, end in each.unread]

    def _slow(self, due: int) -> int:
        return max((each.slow for each in self._record.troubles if each.span.start <= due <= each.span.end), default=0)

    def _window(self, trouble: Trouble) -> Window:
        return Window(*trouble.span, trouble.span.end + self._bounds.recovery)


def _put_off(due: int, windows: list[Window]) -> int:
    for start, _, recovered in windows:
        if start <= due < recovered:
            due = recovered
    return due
