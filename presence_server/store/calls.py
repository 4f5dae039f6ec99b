"""Numbered writes to a team in the making: what each says, and who waits for what comes of it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final

from presence_server import errors
from presence_server.core.roster import Mark
from presence_server.store.hold import Hold
from presence_server.store.operations import choose, hold
from presence_server.store.types import Reply

# Sized so that no script keeps Redis from others for more than about two milliseconds.
BULK: Final = 50

Instant = Callable[[float], int]
"""From the monotonic clock's seconds to Redis's milliseconds."""


def fail(future: asyncio.Future[Any], reason: str) -> None:
    """Give a future `errors.Unavailable` instead of its result."""
    if not future.done():
        future.set_exception(errors.Unavailable(reason))
        # Not everybody looks; whoever does still gets it.
        future.exception()


class Waiting:
    """Somebody waiting for an operation.

    Attributes:
        future: gets the result.
        expires_s: until when to wait while Redis is out of reach, by the monotonic clock; None: as long as it takes.
    """

    __slots__ = ("expires_s", "future")

    def __init__(self, expires_s: float | None) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.expires_s = expires_s


class Entry:
    """One operation of a call, and who waits for it."""

    __slots__ = ("content", "waiting")

    def __init__(self, content: Any) -> None:
        self.content = content
        self.waiting: list[Waiting] = []

    def answer(self, result: Any) -> None:
        """Give whoever waits the result."""
        for waiting in self.waiting:
            if not waiting.future.done():
                waiting.future.set_result(result)

    def fail(self, reason: str) -> None:
        """Tell whoever waits that it cannot be done now."""
        for waiting in self.waiting:
            fail(waiting.future, reason)

    def expire(self, now_s: float, reason: str) -> bool:
        """Drop who has waited too long, or does not wait any more; tells whether anybody is left."""
        still = []
        for waiting in self.waiting:
            if waiting.expires_s is not None and waiting.expires_s <= now_s:
                fail(waiting.future, reason)
            elif not waiting.future.cancelled():
                still.append(waiting)
        self.waiting = still
        return bool(still)


class Call(ABC):
    """One numbered write.

    Attributes:
        name: of the operation.
        once: whether it must never be done again when nobody can tell any more whether it was done.
        restating: whether it is part of telling the team everything anew.
        entries: its operations.
        number, before, holder: its number, the one before it, and the worker's name, as it was sent; 0 before.
        unsure: whether it was sent, and not answered.
        arguments: as they were sent: what was sent once is sent again as it was.
        done: who waits for the reply as a whole.
    """

    __slots__ = ("arguments", "before", "done", "entries", "holder", "name", "number", "once", "restating", "unsure")

    def __init__(self, name: str, *, once: bool, restating: bool = False) -> None:
        self.name = name
        self.once = once
        self.restating = restating
        self.entries: dict[Hashable, Entry] = {}
        self.number = 0
        self.before = 0
        self.holder = ""
        self.unsure = False
        self.arguments: Sequence[Any] = ()
        self.done: Waiting | None = None

    @abstractmethod
    def encode(self, instant_ms: Instant) -> Sequence[Any]:
        """What to send, as things are now."""

    def results(self, reply: Reply) -> Iterable[Any]:
        """The result of each entry."""
        return [reply] * len(self.entries)

    def wanted(self, entry: Entry) -> bool:
        """Whether an entry for which nobody waits is to be carried out all the same."""
        return False

    def prepare(self, instant_ms: Instant) -> bool:
        """Settle what is to be sent; False when there is nothing left to do."""
        if not self.number:
            self.arguments = self.encode(instant_ms)
        return bool(self.entries) or self.restating

    def forget_number(self) -> None:
        """It was not carried out, and is made anew: with another number, and as things are by then."""
        self.number, self.holder, self.unsure = 0, "", False

    def answer(self, reply: Reply) -> list[Any]:
        """Give everybody who waits his result; returns that of each entry."""
        results = list(self.results(reply))
        for entry, result in zip(self.entries.values(), results, strict=True):
            entry.answer(result)
        if self.done is not None and not self.done.future.done():
            self.done.future.set_result(reply)
        return results

    def fail(self, reason: str) -> None:
        """Tell everybody who waits that it cannot be done now."""
        for entry in self.entries.values():
            entry.fail(reason)
            entry.waiting.clear()

    def expire(self, now_s: float, reason: str) -> bool:
        """Drop what nobody wants any more; tells whether anything is left. What was sent is not touched."""
        for key, entry in list(self.entries.items()):
            if not entry.expire(now_s, reason) and not self.number and not self.wanted(entry):
                del self.entries[key]
        return bool(self.entries) or self.restating


class SingleCall(Call):
    """An operation that shares its call with none."""

    __slots__ = ("given",)

    def __init__(self, name: str, given: Sequence[Any], *, once: bool, restating: bool = False) -> None:
        super().__init__(name, once=once, restating=restating)
        self.given = given

    def encode(self, instant_ms: Instant) -> Sequence[Any]:
        return self.given


class HoldCall(Call):
    """Holds to bring into line: what each is, is looked at when the call is sent.

    Entries by hold. The content of each is the hold and, once sent, what was told of it: its last input, and whether a
    connection had come.
    """

    __slots__ = ()

    def __init__(self, *, restating: bool = False) -> None:
        super().__init__(hold.NAME, once=False, restating=restating)

    def encode(self, instant_ms: Instant) -> Sequence[Any]:
        """Tell of each hold; what Redis never heard of, and is gone, need not be told."""
        tellings = []
        for each, entry in list(self.entries.items()):
            assert isinstance(each, Hold)
            if each.gone and not each.sent:
                del self.entries[each]
                entry.fail("Expected a connection, got one that has ended")
                continue
            tellings.append(telling_of(each, instant_ms))
            entry.content = (each.active_s, each.is_new)
            each.sent, each.is_new = True, False
        return hold.encode(tellings)

    def wanted(self, entry: Entry) -> bool:
        each: Hold = entry.content
        return each.sent or not each.gone

    def forget_number(self) -> None:
        super().forget_number()
        for each, entry in self.entries.items():
            assert isinstance(each, Hold)
            _, was_new = entry.content
            each.is_new = each.is_new or was_new
            entry.content = each

    def results(self, reply: Reply) -> Iterable[tuple[Mark, str | None]]:
        """The mark and, for a hold that stands, the chosen status."""
        for (each, entry), chosen in zip(self.entries.items(), hold.decode(reply.results).chosen, strict=True):
            assert isinstance(each, Hold)
            active_s, _ = entry.content
            each.told_s = max(each.told_s, active_s)
            yield reply.mark, chosen or None


class ChoiceCall(Call):
    """Choices that share a call. Entries by user and who chose: the newest counts for those before it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(choose.NAME, once=True)

    def encode(self, instant_ms: Instant) -> Sequence[Any]:
        return choose.encode(
            choose.Choice(user, status, instant_ms(at_s), by)
            for user, status, at_s, by in (entry.content for entry in self.entries.values())
        )


def telling_of(each: Hold, instant_ms: Instant) -> hold.Telling:
    """What a team is to be told of a hold now."""
    return hold.Telling(
        each.user,
        each.session,
        hold.SIGNED_OUT if each.ended else each.connections,
        instant_ms(each.active_s),
        int(each.issued_at_s),
        each.version,
        each.is_new,
    )
