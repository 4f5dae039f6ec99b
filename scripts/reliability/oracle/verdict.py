"""What was found in a run, and in figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from reliability.oracle.spans import Span, total_ms, union


class Kind(Enum):
    """What may be wrong. The first ones last, and are counted in seconds; the others are counted."""

    GHOST = "ghost"
    FALSE_OFFLINE = "false offline"
    WRONG_COLOUR = "wrong colour"
    STALE = "stale without a fault"
    MISSED = "missed"
    DOUBLED = "doubled"
    REORDERED = "reordered"
    LOST_CHOICE = "lost choice"
    LOST_SIGN_OUT = "lost sign-out"
    FORBIDDEN = "forbidden message"
    UNANSWERED = "unanswered"
    CLOSED = "closed for no reason"


LASTING = (Kind.GHOST, Kind.FALSE_OFFLINE, Kind.WRONG_COLOUR, Kind.STALE)


class Finding(NamedTuple):
    """One thing that must not have been.

    Attributes:
        span: from when until when, milliseconds since the epoch.
        about: the user that was shown or told wrongly.
        seen_by: the number of the connection that was told it.
        text: what was expected, and what was got.
    """

    kind: Kind
    span: Span
    team: str
    about: str
    seen_by: int
    text: str


@dataclass(slots=True)
class Verdict:
    """What came of a run.

    Attributes:
        findings: what must not have been; empty if all was well.
        by_nature: losses that the faults explain, counted.
        agreement: for each fault, in their order, milliseconds from its end until nobody saw anything wrong.
        busy_ms: for how long the machine was too busy to judge.
        judged: how many connections' views of a team were looked at, and how many changes they were told.
    """

    findings: list[Finding] = field(default_factory=list)
    by_nature: Counter[Kind] = field(default_factory=Counter)
    agreement: list[tuple[str, int]] = field(default_factory=list)
    busy_ms: int = 0
    judged: tuple[int, int] = (0, 0)

    def figure(self, kind: Kind) -> float:
        """Seconds, each user's counted once however many saw it; of what does not last, how often."""
        found = [each for each in self.findings if each.kind is kind]
        if kind not in LASTING:
            return len(found)
        of_user: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
        for each in found:
            of_user[each.team, each.about].append(each.span)
        return sum(total_ms(union(spans)) for spans in of_user.values()) / 1000
