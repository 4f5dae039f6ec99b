"""By how much faults may put off what the contract promises."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from reliability.oracle.record import Loss, Record, Transcript, Trouble
from reliability.oracle.spans import Span, union

Chain: TypeAlias = list[Span]
"""Windows that run into each other count as one: what is put off to the end of one may fall into the next."""


class Window(NamedTuple):
    """While it lasts what is due may not come; by `recovered` it must have come."""

    start: int
    end: int
    recovered: int


class Delays:
    """Instants by which things must have happened, given the faults of a run. All in milliseconds since the epoch."""

    def __init__(self, record: Record) -> None:
        self._record, self._bounds = record, record.bounds
        self._slowing = [trouble for trouble in record.troubles if trouble.slow]
        busy = [Window(start, end, end + self._bounds.agreement) for start, end in record.busy]
        outages = [self._window(trouble) for trouble in record.troubles if trouble.outage and trouble.worker is None]
        self._all, self._busy, self._outages = sorted([*busy, *outages]), busy, outages
        self._of: dict[str | None, list[Window]] = {}
        lossy = [each for each in record.troubles if each.loss is not Loss.NOTHING]
        self._losses = [self._window(each)._replace(start=each.span.start - 1_000) for each in lossy]
        self._wiped = [self._window(each) for each in lossy if each.loss is Loss.EVERYTHING]
        # Asked for each of millions of tellings.
        self._chains: dict[object, Chain] = {"busy": _chain(busy), "all": _chain(self._all)}

    def troubles_of(self, worker: str | None) -> list[Trouble]:
        """The faults of one worker; of any, where it is not known which it was."""
        return [each for each in self._record.troubles if each.worker and worker in (None, each.worker)]

    def windows(self, worker: str | None) -> list[Window]:
        """All that concerns what goes through a worker."""
        if worker not in self._of:
            own = [self._window(trouble) for trouble in self.troubles_of(worker)]
            self._of[worker] = sorted([*self._all, *own])
        return self._of[worker]

    def reading(self, each: Transcript) -> list[Window]:
        """All that concerns what comes to a client: that of its worker, and when it did not read."""
        return sorted([*self.windows(each.worker), *self._unread(each)])

    def late(self, due: int, worker: str | None) -> int:
        """When at the latest what is due at an instant has come through a worker."""
        return self._at(due, self._through(worker))

    def read(self, due: int, each: Transcript) -> int:
        """When at the latest what is due at an instant has been read by a client."""
        chain = self._through(each.worker)
        if each.unread:
            key = ("read", each.number)
            chain = self._chained(key, lambda: self.reading(each))
        return self._at(due, chain)

    def everywhere(self, due: int) -> int:
        """When at the latest what is due at an instant has come, whichever worker it takes."""
        return self._at(due, self._chains["all"])

    def read_without_faults(self, due: int, each: Transcript) -> int:
        """When it would have been read at the latest, had there been no faults, on this machine."""
        if not each.unread:
            return _put_off(due, self._chains["busy"])
        key = ("busy", each.number)
        return _put_off(due, self._chained(key, lambda: [*self._busy, *self._unread(each)]))

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
        return self._losses

    def wiped(self) -> list[Window]:
        """When everything was lost, however long ago it was written, and when what is still known was made good."""
        return self._wiped

    def _through(self, worker: str | None) -> Chain:
        return self._chained(("through", worker), lambda: self.windows(worker))

    def _chained(self, key: object, windows: Callable[[], Iterable[Window]]) -> Chain:
        if key not in self._chains:
            self._chains[key] = _chain(windows())
        return self._chains[key]

    def _unread(self, each: Transcript) -> list[Window]:
        return [Window(start, end, end + self._bounds.recovery) for start, end in each.unread]

    def _at(self, due: int, chain: Chain) -> int:
        """When it has come: what is put off to an instant at which everything is slow comes later by that."""
        at = _put_off(due, chain)
        slow = self._slow(at)
        return _put_off(at + slow, chain) if slow else at

    def _slow(self, due: int) -> int:
        return max((each.slow for each in self._slowing if each.span.start <= due <= each.span.end), default=0)

    def _window(self, trouble: Trouble) -> Window:
        recovered = trouble.span.end + self._bounds.recovery
        # To connect, to follow, to read, and to tell come one after another.
        return Window(*trouble.span, recovered + 3 * max(self._slow(trouble.span.end), self._slow(recovered)))


def _chain(windows: Iterable[Window]) -> Chain:
    return union(Span(start, recovered) for start, _, recovered in windows)


def _put_off(due: int, chain: Chain) -> int:
    at = bisect_right(chain, due, key=_start) - 1
    return chain[at].end if at >= 0 and due < chain[at].end else due


def _start(span: Span) -> int:
    return span.start
