"""Requests on their way to Redis: batched by loop turn and team, kept in order, waiting while Redis is out of reach."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final

from presence_server import errors
from presence_server.store import scripts
from presence_server.store.scripts import Script

PATIENCE_S: Final = 10.0
# Sized so that no script keeps Redis from others for more than about two milliseconds.
BULK: Final = 50
# Operations in one pipeline: enough to be cheap, few enough that their replies, and all who wake up on them, do not
# keep the loop for long.
PIPELINE: Final = 100

# Under sustained load a pipeline goes every 25 ms; after quiet so many go at once.
PIPELINES_PER_S: Final = 40.0
AT_ONCE: Final = 8.0

# Scripts whose input is a list of entries, so that requests can share a call.
BULK_SCRIPTS: Final = frozenset({scripts.JOIN, scripts.RENEW, scripts.LEAVE, scripts.CHOOSE})


def fail(future: asyncio.Future[Any], reason: str) -> None:
    """Give a future `errors.Unavailable` instead of its result."""
    if not future.done():
        future.set_exception(errors.Unavailable(reason))
        # Not everybody looks; whoever does still gets it.
        future.exception()


class Request:
    """Somebody waiting for an operation.

    Attributes:
        future: gets the result.
        expires_s: until when to wait while Redis is out of reach, by the loop's clock; None: for as long as it takes.
    """

    __slots__ = ("expires_s", "future")

    def __init__(self, future: asyncio.Future[Any], expires_s: float | None) -> None:
        self.future = future
        self.expires_s = expires_s


class Entry:
    """One operation of a call.

    Attributes:
        inputs: of the operation, as the script takes them.
        waiting: the requests that its result answers; with none left it is dropped.
    """

    __slots__ = ("inputs", "key", "waiting")

    def __init__(self, inputs: tuple[Any, ...], key: Hashable, request: Request) -> None:
        self.inputs = inputs
        self.key = key
        self.waiting = [request]

    def take_over(self, earlier: Entry) -> None:
        """Answer those who wait for another entry, too, before one's own."""
        self.waiting[:0] = earlier.waiting
        earlier.waiting = []


class Call:
    """One script call in the making.

    Attributes:
        entries: its operations; more than one only for `BULK_SCRIPTS`.
    """

    __slots__ = ("entries", "script", "team")

    def __init__(self, script: Script, team: str) -> None:
        self.script = script
        self.team = team
        self.entries: list[Entry] = []

    @property
    def inputs(self) -> list[tuple[Any, ...]]:
        """What the script is given, an item per operation."""
        return [entry.inputs for entry in self.entries]

    def answer(self, results: Iterable[Any]) -> None:
        """Give each entry's requests their result."""
        for entry, result in zip(self.entries, results, strict=True):
            for request in entry.waiting:
                if not request.future.done():
                    request.future.set_result(result)

    def fail(self, reason: str) -> None:
        """Tell everybody who waits that it cannot be done now."""
        for entry in self.entries:
            for request in entry.waiting:
                fail(request.future, reason)

    def cancel(self) -> None:
        """Give up on it; nobody is told more than that."""
        for entry in self.entries:
            for request in entry.waiting:
                request.future.cancel()

    def prune(self, now_s: float) -> None:
        """Drop the requests that have waited too long or were given up, and entries nobody waits for any more."""
        for entry in self.entries:
            still = []
            for request in entry.waiting:
                if request.expires_s is not None and request.expires_s <= now_s:
                    fail(request.future, f"Expected Redis within reach, got no answer in {PATIENCE_S:.0f} s; try again")
                elif not request.future.cancelled():
                    still.append(request)
            entry.waiting = still
        self.entries = [entry for entry in self.entries if entry.waiting]


class Pace:
    """Lets pipelines go at once after quiet, and makes them wait for company under load.

    A pipeline wakes both processes up, which costs several times what one more command in it does.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._credit = AT_ONCE
        self._seen_s = clock()

    async def wait(self, *, full: bool) -> None:
        """Wait until the next pipeline may go; one that is full may at once."""
        while True:
            now_s = self._clock()
            self._credit = min(AT_ONCE, self._credit + (now_s - self._seen_s) * PIPELINES_PER_S)
            self._seen_s = now_s
            if full or self._credit >= 1.0:
                self._credit = max(0.0, self._credit - 1.0)
                return
            await asyncio.sleep((1.0 - self._credit) / PIPELINES_PER_S)


class Queue:
    """Calls in the order they were asked for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls: deque[Call] = deque()
        self._newest: dict[str, Call] = {}
        self._superseding: dict[Hashable, Entry] = {}

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def full(self) -> bool:
        """Whether a whole pipeline waits."""
        return sum(len(call.entries) for call in self._calls) >= PIPELINE

    def ask(
        self, script: Script, team: str, inputs: tuple[Any, ...], *, patient: bool = True, key: Hashable = None
    ) -> asyncio.Future[Any]:
        """Add an operation and return the future of its result.

        Args:
            script: which operation.
            team: on which team.
            inputs: of the operation.
            patient: wait for Redis however long it takes, instead of `PATIENCE_S`.
            key: operations with the same key supersede each other: the newest counts for those before it.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call = self._newest.get(team)
        # Only the newest call of a team may grow: a later one of another kind must not be overtaken.
        if call is None or call.script is not script or script not in BULK_SCRIPTS or len(call.entries) >= BULK:
            call = self._newest[team] = Call(script, team)
            self._calls.append(call)
        entry = Entry(inputs, key, Request(future, None if patient else self._clock() + PATIENCE_S))
        call.entries.append(entry)
        if key is not None:
            if (earlier := self._superseding.get(key)) is not None:
                entry.take_over(earlier)
            self._superseding[key] = entry
        return future

    def take(self) -> list[Call]:
        """Remove and return the calls to send next."""
        now_s = self._clock()
        taken: list[Call] = []
        operations = 0
        while self._calls and operations < PIPELINE:
            call = self._calls.popleft()
            if self._newest.get(call.team) is call:
                del self._newest[call.team]
            for entry in call.entries:
                if entry.key is not None and self._superseding.get(entry.key) is entry:
                    del self._superseding[entry.key]
            call.prune(now_s)
            if call.entries:
                taken.append(call)
                operations += len(call.entries)
        return taken

    def give_back(self, calls: Iterable[Call]) -> None:
        """Put calls that could not be carried out back in front, in order, but for what was superseded meanwhile."""
        for call in reversed(list(calls)):
            for entry in call.entries:
                if entry.key is None:
                    continue
                newer = self._superseding.get(entry.key)
                if newer is not None and newer.waiting:
                    newer.take_over(entry)
                else:
                    self._superseding[entry.key] = entry
            self._calls.appendleft(call)

    def cancel(self, script: Script) -> None:
        """Give up on everything that was asked of one script."""
        for call in self._calls:
            if call.script is script:
                call.cancel()
        self.expire()

    def expire(self) -> None:
        """Answer what has waited too long with `errors.Unavailable`, and drop it."""
        now_s = self._clock()
        for call in self._calls:
            call.prune(now_s)
        # What nobody waits for any more must not pile up while Redis is out of reach.
        self._calls = deque(call for call in self._calls if call.entries)
        self._newest = {team: call for team, call in self._newest.items() if call.entries}
        self._superseding = {key: entry for key, entry in self._superseding.items() if entry.waiting}
