"""What is known of a run: the transcripts of all connections, and which faults there were when."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

from reliability.oracle.bounds import Bounds
from reliability.oracle.spans import FOREVER, Span

Message = Mapping[str, Any]


class Said(NamedTuple):
    """One message, sent or received, with the client's instant in milliseconds since the epoch."""

    at: int
    message: Message


class End(Enum):
    """How a connection ended, as its client saw it."""

    OPEN = "still open"
    LEFT = "closed by the client"
    LOST = "closed or cut by the other side"
    HALF_OPEN = "forgotten by the client, whose network changed; nobody was told"
    SIGNED_OUT = "signed out"


@dataclass(slots=True)
class Transcript:
    """One connection, from hello to its end.

    Attributes:
        number: counts all connections of the run.
        user: whose it is.
        session: the token's `sid`.
        teams: the token's.
        resumes: the number of the connection whose views it goes on with, where it does.
        opened: when hello was sent.
        ended: when its client knew that it was over, or let go of it.
        code: the close code, where there was one.
        worker: which worker the balancer gave it to, where that is known.
        unread: when the client did not read.
    """

    number: int
    user: str
    session: str
    teams: tuple[str, ...]
    opened: int
    resumes: int | None = None
    ended: int = FOREVER
    end: End = End.OPEN
    code: int | None = None
    worker: str | None = None
    sent: list[Said] = field(default_factory=list)
    received: list[Said] = field(default_factory=list)
    unread: list[Span] = field(default_factory=list)

    @property
    def welcome(self) -> Said | None:
        """The server's welcome."""
        return next((said for said in self.received if said.message["type"] == "welcome"), None)

    @property
    def welcomed(self) -> int | None:
        """When the server said welcome."""
        return None if self.welcome is None else self.welcome.at

    def answers(self) -> dict[object, Said]:
        """By the id of a request, what answered it."""
        return {said.message["id"]: said for said in self.received if said.message["type"] in ("ack", "error")}

    def of_type(self, kind: str) -> Iterator[Said]:
        """What was sent of one type."""
        return (said for said in self.sent if said.message["type"] == kind)


class Loss(Enum):
    """What a fault destroys by its nature."""

    NOTHING = "nothing"
    LAST_WRITES = "what was written in its last second"
    EVERYTHING = "all that nobody knows who is still connected, and no roster has"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One fault as it was carried out.

    Attributes:
        name: of the fault.
        span: from its first effect until it was mended.
        worker: the one that stood still, was dead or cut off; None where all were concerned.
        teams: those concerned; None where all were.
        outage: Redis could not be used in it, or its subscriptions were cut.
        died: the worker is gone for good.
        ended: the workers that were drained and ended in it; what they could not do for want of Redis is lost.
        slow: by how much everything may be later while it lasts, milliseconds.
        loss: what it destroys.
    """

    name: str
    span: Span
    worker: str | None = None
    teams: frozenset[str] | None = None
    outage: bool = False
    died: bool = False
    ended: tuple[str, ...] = ()
    slow: int = 0
    loss: Loss = Loss.NOTHING


@dataclass(slots=True)
class Record:
    """One run.

    Attributes:
        span: from when everybody was there until the end.
        idle: the idle timeout of each team, milliseconds.
        troubles: the faults, in their order.
        busy: when the machine was too busy for what was seen to mean anything.
    """

    bounds: Bounds
    span: Span
    idle: Mapping[str, int]
    transcripts: list[Transcript] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    busy: list[Span] = field(default_factory=list)

    def concerning(self, teams: Collection[str]) -> Record:
        """The same with those faults alone that concern any of these teams."""
        troubles = [each for each in self.troubles if each.teams is None or not each.teams.isdisjoint(teams)]
        return replace(self, troubles=troubles)
