"""When somebody must be, and may be, shown: section 2 of the contract, from what his clients did and were told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from reliability.oracle.delays import Delays
from reliability.oracle.record import End, Record, Transcript
from reliability.oracle.spans import FOREVER, Span, common, union, without


class Input(NamedTuple):
    """Human input as it was told: when, how long before, and when the answer came, if one did."""

    sent: int
    ago: int
    answered: int | None


class Logout(NamedTuple):
    """A session that was signed out."""

    at: int
    session: str
    worker: str | None


class Presence:
    """Works out when somebody holds a connection and is active."""

    def __init__(self, record: Record, delays: Delays) -> None:
        self._record, self._bounds, self._delays = record, record.bounds, delays
        self._of: defaultdict[str, list[Transcript]] = defaultdict(list)
        self._next: dict[int, Transcript] = {}
        for each in record.transcripts:
            self._of[each.user].append(each)
            if each.resumes is not None:
                self._next.setdefault(each.resumes, each)
        self.logouts = cache(self._logouts)
        self.must = cache(self._must)
        self.may = cache(self._may)

    def _must(self, user: str, team: str) -> list[Span]:
        """When he must be shown as what he chose."""
        mine = [each for each in self._of[user] if team in each.teams]
        held = union(span for each in mine for span in self._surely_held(each))
        return common(held, self._surely_active(mine, team))

    def _may(self, user: str, team: str) -> list[Span]:
        """When he may be shown as what he chose."""
        mine = [each for each in self._of[user] if team in each.teams]
        held = union(Span(each.opened, self._gone(each)) for each in mine)
        return common(held, self._perhaps_active(mine, team))

    # --- rule 1, first part: connections ------------------------------------------------------------------------------

    def _surely_held(self, each: Transcript) -> list[Span]:
        welcomed = each.welcomed
        if welcomed is None:
            return []
        for start, end, recovered in self._delays.losses():
            if start <= welcomed < end:
                welcomed = recovered
        # Whatever came from its worker shows that it lived then; its lease was renewed a moment before.
        word = self._bounds.lease - self._bounds.renewal
        signs = [said.at for said in each.received if said.at >= welcomed]
        held = union(Span(at, at + word) for at in (welcomed, *signs))
        held = common(held, [Span(welcomed, self._surely_until(each))])
        return without(held, union(self._unsure(each)))

    def _surely_until(self, each: Transcript) -> int:
        # The other side may have known of its end before the client did.
        early = self._bounds.transit if each.end is End.LOST else 0
        until = each.ended if each.end is End.SIGNED_OUT else self._open_until(each) + self._bounds.grace - early
        for logout in self.logouts(each.user):
            if logout.session == each.session:
                until = min(until, logout.at)
            elif each.ended <= self._delays.late(logout.at + self._bounds.transit, logout.worker):
                until = min(until, max(each.ended, logout.at))
        return until

    def _open_until(self, each: Transcript) -> int:
        """Until when it was surely open: who does not read does not see it end."""
        if each.end is not End.LOST:
            return each.ended
        last = [span.start for span in each.unread if span.end + self._bounds.transit >= each.ended]
        return min([each.ended, *last])

    def _unsure(self, each: Transcript) -> Iterator[Span]:
        """When its worker's word may have been over."""
        for trouble in self._delays.troubles_of(each.worker):
            start, end = trouble.span
            back = self._delays.late(end, each.worker)
            is_back = not trouble.died and each.ended > back
            until = back if is_back else FOREVER
            if trouble.died and each.opened > end:
                continue
            if each.opened < end and (end - start > self._bounds.lease - self._bounds.renewal or trouble.died):
                yield Span(start + self._bounds.lease - self._bounds.renewal, until)

    def _gone(self, each: Transcript) -> int:
        """From when on nobody may be shown because of this connection."""
        if each.end is End.OPEN:
            return FOREVER
        bounds, ended = self._bounds, each.ended
        if each.end is End.HALF_OPEN:
            ended += bounds.ping
            after = self._next.get(each.number)
            if after is not None and after.welcomed is not None:
                ended = min(ended, max(each.ended, after.welcomed))
        lost = ended + bounds.transit
        until = self._delays.noticed(self._delays.late(lost, each.worker) + bounds.grace)
        for trouble in self._delays.troubles_of(each.worker):
            if trouble.died and trouble.span.start - bounds.transit <= lost <= trouble.span.end + bounds.recovery:
                dead_until = trouble.span.start + max(bounds.lease, bounds.grace)
                until = max(until, self._delays.noticed(dead_until))
        for logout in self.logouts(each.user):
            of_session = logout.session == each.session
            if (of_session or self._is_forgiven(each, logout.at)) and not self.may_be_lost(logout):
                until = min(until, self._delays.late(logout.at + bounds.transit, logout.worker))
        return until

    def _is_forgiven(self, each: Transcript, at: int) -> bool:
        """Whether Redis surely knew by then that the connection was lost."""
        if each.end not in (End.LEFT, End.LOST) or each.ended + self._bounds.transit > at:
            return False
        concerned = self._delays.windows(each.worker)
        return not any(start - self._bounds.transit <= each.ended < recovered for start, _, recovered in concerned)

    def may_be_lost(self, logout: Logout, at: int | None = None) -> bool:
        """Whether the worker that was told of it ended before it could tell Redis, or Redis lost its last writes.

        Args:
            at: an instant afterwards, by which Redis may have lost all it remembers of it.
        """
        reach = 2 * self._bounds.transit
        for each in self._record.troubles:
            died = each.died and logout.worker in (None, each.worker)
            if died and each.span.start - reach <= logout.at <= each.span.end:
                return True
            if logout.worker in (None, *each.ended) and each.ended and self._delays.is_out(logout.at, each.span):
                return True
        wiped = self._delays.wiped() if at is not None else []
        if any(logout.at <= recovered and start <= (at or 0) for start, _, recovered in wiped):
            return True
        return any(start - reach <= logout.at <= recovered for start, _, recovered in self._delays.losses())

    def _logouts(self, user: str) -> list[Logout]:
        """All sign-outs of a user."""
        return [
            Logout(said.at, each.session, each.worker) for each in self._of[user] for said in each.of_type("logout")
        ]

    # --- rule 1, second part: activity --------------------------------------------------------------------------------

    def _surely_active(self, mine: list[Transcript], team: str) -> list[Span]:
        idle = self._record.idle[team]
        heard = ((said.answered, said, each) for each in mine for said in inputs(each, team) if said.answered)
        told = sorted(heard, key=lambda each: each[:2])
        found: list[Span] = []
        for answered, said, each in told:
            if self._dies_with(each, answered) or self.is_over(each, said.sent):
                continue
            last = max((span.end for span in found if span.start <= answered), default=0)
            start, end = self._told(answered, last), said.sent - said.ago + idle
            for trouble in self._delays.troubles_of(each.worker):
                back = self._delays.late(trouble.span.end, each.worker)
                if answered < back and trouble.span.start <= self._delays.everywhere(answered):
                    start = max(start, back)
                elif answered < trouble.span.start < end:
                    # Told at least every quarter of the timeout: what is newer died with the worker.
                    end -= idle // 4 + self._bounds.renewal
            for wipe in self._delays.wiped():
                if answered < wipe.start < end and self._open_until(each) < wipe.recovered:
                    end = wipe.start
            if last < start and said.sent != each.opened:
                start = self._delays.late(start + self._bounds.transit, each.worker)
            found = union([*found, Span(start, end)])
        return found

    def is_over(self, each: Transcript, at: int) -> bool:
        """Whether its session had signed out by then: if nobody has told the connection yet, it counts no more."""
        return any(logout.session == each.session and logout.at <= at for logout in self.logouts(each.user))

    def _dies_with(self, each: Transcript, answered: int) -> bool:
        """Whether input that Redis was told, and lost, ended with its connection: only who is there tells it again."""
        outage = self._delays.outage_at(answered)
        if outage is None or not self._delays.is_lost(answered):
            return False
        return self._open_until(each) < outage.end + self._bounds.transit

    def _told(self, answered: int, last: int) -> int:
        """When Redis surely knew of input that a worker knew of, when he would have idled at `last` without it.

        What would have ended while Redis was away is put off until it can be told; what ends just afterwards is not.
        """
        outage = self._delays.outage_at(answered)
        if outage is None or last >= outage.recovered:
            return answered
        is_put_off = outage.start <= last <= outage.end and outage.end - outage.start > self._bounds.gap
        return answered if is_put_off and not self._delays.is_lost(answered) else outage.recovered

    def _perhaps_active(self, mine: list[Transcript], team: str) -> list[Span]:
        idle, spans = self._record.idle[team], []
        for each in mine:
            for said in inputs(each, team):
                # What waits in the socket of a process that stands still is read, and counts, later.
                waits = (end for start, end, _ in self._delays.windows(each.worker) if start <= said.sent < end)
                read = max([said.sent, *waits])
                instant = read + self._bounds.transit - said.ago
                spans.append(Span(said.sent, self._delays.noticed(instant + idle)))
        return union(spans)


def inputs(each: Transcript, team: str) -> Iterator[Input]:
    """All input that a connection told a team of; to choose is input, too (rule 5), in the other teams perhaps."""
    answers = each.answers()
    for said in each.sent:
        kind, answer = said.message["type"], answers.get(said.message.get("id"))
        if kind == "hello":
            yield Input(said.at, said.message.get("idle_ms", 0), each.welcomed)
        elif kind == "heartbeat":
            yield Input(said.at, said.message["idle_ms"], answer.at if answer else None)
        elif kind == "set_status":
            is_done = answer is not None and answer.message["type"] == "ack"
            is_meant = said.message.get("team") in (None, team)
            yield Input(said.at, 0, answer.at if answer is not None and is_done and is_meant else None)
