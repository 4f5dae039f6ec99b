"""What each connection showed when, by the view of the tests' client, which objects to what must not be told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from reliability.oracle.record import Message, Record, Said, Transcript
from reliability.oracle.spans import Span
from reliability.oracle.verdict import Finding, Kind, Verdict
from tests.support.view import Doubled, Reordered, TeamView, Violation

_ENTRY: Final = ("status", "since", "reason")


class Shown(NamedTuple):
    """From an instant on a user is shown as `status`; `since` is that of the change, or when he was absent."""

    at: int
    status: str
    since: int


@dataclass(slots=True)
class View:
    """One connection's view of one team.

    Attributes:
        shown: by user, in order; who is not in it has been offline from the start.
        judged: when it was complete, and by which users it was narrowed then.
        first: when it was complete first.
    """

    transcript: Transcript
    team: str
    shown: defaultdict[str, list[Shown]] = field(default_factory=lambda: defaultdict(list))
    judged: list[tuple[Span, frozenset[str] | None]] = field(default_factory=list)
    first: int | None = None

    def segments(self, user: str) -> Iterator[tuple[Span, str]]:
        """When it showed a user as what, as far as it may be judged."""
        steps = self.shown.get(user, [])
        for span, narrowed in self.judged:
            if narrowed is not None and user not in narrowed and user != self.transcript.user:
                continue
            before = [step for step in steps if step.at <= span.start]
            start, status = span.start, before[-1].status if before else "offline"
            for step in steps:
                if span.start < step.at < span.end:
                    yield Span(start, step.at), status
                    start, status = step.at, step.status
            yield Span(start, span.end), status

    def at(self, user: str, instant: int) -> Shown | None:
        """How it showed a user at an instant; None when it may not be judged then."""
        for span, narrowed in self.judged:
            if span.start <= instant < span.end and (narrowed is None or user in (*narrowed, self.transcript.user)):
                before = [step for step in self.shown.get(user, []) if step.at <= instant]
                return before[-1] if before else Shown(span.start, "offline", span.start)
        return None


class _Reader:
    """Follows one connection's messages of one team."""

    def __init__(self, view: View, state: TeamView, verdict: Verdict) -> None:
        self._view, self.state, self._verdict = view, state, verdict
        self._narrowed: frozenset[str] | None = None
        self._waits = self._broken = False
        self._from: int | None = None

    def narrow(self, users: frozenset[str] | None, at: int) -> None:
        """The client asks to be shown these users alone; until a snapshot has come it may be either."""
        self._stop(at)
        self._narrowed, self._waits = users, True
        self.state = TeamView(self._view.team, epoch=self.state.epoch, version=self.state.version, complete=True)

    def take(self, at: int, message: Message) -> None:
        """A snapshot or delta has come."""
        is_snapshot = message["type"] == "snapshot"
        if self._broken and not is_snapshot:
            return
        if self._broken:
            self.state, self._broken = TeamView(self._view.team), False
        shown = dict(self.state.users)
        was_complete = self._from is not None
        try:
            (self.state.apply_snapshot if is_snapshot else self.state.apply_delta)(dict(message), at)
        except Doubled as doubled:
            message = self._without_known(at, message, doubled)
        except Violation as violation:
            self._object(at, message, violation)
            self._stop(at)
            self._broken = True
            return
        if not self.state.complete or message.get("more"):
            return
        users = self.state.users if is_snapshot or not was_complete else {}
        for user, told in (users | {name: self.state.known[name] for name in message["users"]}).items():
            self._view.shown[user].append(Shown(at, told.status, told.since or at))
        if is_snapshot:
            for user in (shown.keys() | self._view.shown.keys()) - self.state.users.keys():
                self._view.shown[user].append(Shown(at, "offline", at))
        if self._from is None and (is_snapshot or not self._waits):
            self._from, self._waits = at, False
            self._view.first = self._view.first or at

    def end(self, at: int) -> None:
        self._stop(at)

    def _stop(self, at: int) -> None:
        if self._from is not None and self._from < at:
            self._view.judged.append((Span(self._from, at), self._narrowed))
        self._from = None

    def _without_known(self, at: int, message: Message, doubled: Doubled) -> Message:
        """Take over what is news in a delta of which a part is not."""
        if self._view.first is None:
            # A worker that has just read the team does not know that the last change was of the choice alone.
            self._verdict.by_nature[Kind.DOUBLED] += 1
        else:
            self._object(at, message, doubled)
        known = {user: (told.status, told.since, told.reason) for user, told in self.state.known.items()}
        users = message["users"].items()
        news = {user: entry for user, entry in users if known.get(user) != tuple(map(entry.get, _ENTRY))}
        message = {**message, "users": news}
        if news or self._view.first is None:
            self.state.apply_delta(message, at)
        else:
            self.state.version = message["version"]
        return message

    def _object(self, at: int, message: Message, violation: Violation) -> None:
        kinds = {Doubled: Kind.DOUBLED, Reordered: Kind.REORDERED}
        kind = kinds.get(type(violation), Kind.FORBIDDEN)
        about = ", ".join(message["users"])[:60]
        number, team = self._view.transcript.number, self._view.team
        self._verdict.findings.append(Finding(kind, Span(at, at), team, about, number, str(violation)[:400]))


def read(record: Record, verdict: Verdict) -> list[View]:
    """The views of all connections; what they object to is added to the verdict."""
    ends: dict[int, dict[str, TeamView]] = {}
    views = []
    for each in sorted(record.transcripts, key=lambda each: each.opened):
        before = ends.get(each.resumes, {}) if each.resumes is not None else {}
        readers = {}
        for team in each.teams:
            state = before[team].continued() if team in before else TeamView(team)
            view = View(each, team)
            readers[team] = _Reader(view, state, verdict)
            views.append(view)
        for team, users in each.sent[0].message.get("watch", {}).items():
            readers[team].narrow(frozenset(users), each.opened)
        _follow(each, readers)
        for reader in readers.values():
            reader.end(min(each.ended, record.span.end))
        ends[each.number] = {team: reader.state for team, reader in readers.items()}
    return views


def _follow(each: Transcript, readers: dict[str, _Reader]) -> None:
    watches = [said for said in each.sent if said.message["type"] == "watch"]
    told = [said for said in each.received if said.message["type"] in ("snapshot", "delta") and said.at <= each.ended]
    for said in sorted([*watches, *told], key=_when):
        if said.message["type"] == "watch":
            users = said.message["users"]
            readers[said.message["team"]].narrow(None if users == "all" else frozenset(users), said.at)
        elif said.message["team"] in readers:
            readers[said.message["team"]].take(*said)


def _when(said: Said) -> int:
    return said.at
