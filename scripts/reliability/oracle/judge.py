"""Puts it together: what everybody was shown, against what he might have been shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache

from reliability.oracle import requests
from reliability.oracle.expectations import Expectations
from reliability.oracle.record import Record, Transcript, Trouble
from reliability.oracle.spans import Span, common, complement, covers, prolonged, total_ms, union, without
from reliability.oracle.verdict import Finding, Kind, Verdict
from reliability.oracle.views import View, read


def judge(record: Record) -> Verdict:
    """Compare what clients were told with what the contract lets them be told."""
    return _Judge(record).verdict


class _Judge:
    def __init__(self, record: Record) -> None:
        self.verdict = Verdict(busy_ms=total_ms(union(record.busy)))
        self._record, self._bounds = record, record.bounds
        self._expectations = Expectations(record)
        # Asked for each view of each of his colleagues.
        self._allowed = cache(self._when_allowed)
        self._members: defaultdict[str, set[str]] = defaultdict(set)
        for each in record.transcripts:
            for team in each.teams:
                self._members[team].add(each.user)
        # What was wrong, faults or not: until when says how long they took to mend.
        self._raw: list[Span] = []
        views = read(record, self.verdict)
        for view in views:
            self._compare(view)
        self._look_for_missed(views)
        requests.check(record, self._expectations, self.verdict)
        self._look_for_lost_sign_outs()
        self.verdict.agreement = [(each.name, self._took(each)) for each in record.troubles]
        told = sum(len(steps) for view in views for steps in view.shown.values())
        self.verdict.judged = (sum(1 for view in views if view.judged), told)

    # --- rules 1 to 7: who is shown as what ---------------------------------------------------------------------------

    def _compare(self, view: View) -> None:
        run = [self._record.span]
        expected = self._expectations.of(view.team)

        def late(instant: int) -> int:
            return expected.delays.read(instant + self._bounds.agreement, view.transcript)

        def soon(instant: int) -> int:
            return expected.delays.read_without_faults(instant + self._bounds.agreement, view.transcript)

        for user in self._members[view.team]:
            for segment, status in view.segments(user):
                allowed = self._allowed(user, view.team, status)
                if not any(span.start <= segment.start and segment.end <= span.end for span in allowed):
                    shown = common([segment], run)
                    unlike = without(shown, prolonged(allowed, soon))
                    self._raw += (span for span in unlike if span.end - span.start > self._bounds.jitter)
                    for wrong in without(shown, prolonged(allowed, late)):
                        if wrong.end - wrong.start > self._bounds.jitter:
                            self._found_wrong(view, user, status, wrong, expected.presence.may(user, view.team), late)

    def _when_allowed(self, user: str, team: str, status: str) -> list[Span]:
        """When he may be shown so."""
        expected = self._expectations.of(team)
        if status == "offline":
            return complement(expected.presence.must(user, team))
        return common(expected.presence.may(user, team), expected.choices.chosen(user, team, status))

    def _found_wrong(
        self, view: View, user: str, status: str, wrong: Span, may: list[Span], late: Callable[[int], int]
    ) -> None:
        if status == "offline":
            kind = Kind.FALSE_OFFLINE
        elif common([wrong], prolonged(may, late)):
            kind = Kind.WRONG_COLOUR
        else:
            kind = Kind.GHOST
        text = f"shown as {status} for {(wrong.end - wrong.start) / 1000:.1f} s"
        self.verdict.findings.append(Finding(kind, wrong, view.team, user, view.transcript.number, text))

    # --- rule 8: each change is told ----------------------------------------------------------------------------------

    def _look_for_missed(self, views: list[View]) -> None:
        of_team: defaultdict[str, list[View]] = defaultdict(list)
        for view in views:
            of_team[view.team].append(view)
        for team, alike in of_team.items():
            delays = self._expectations.of(team).delays
            rolled_back = [Span(start, recovered) for start, _, recovered in delays.losses()]
            changes: defaultdict[str, dict[int, str]] = defaultdict(dict)
            for view in alike:
                for user, steps in view.shown.items():
                    changes[user].update({step.since: step.status for step in steps if step.since != step.at})
            for user, told in changes.items():
                instants = sorted(told)
                for since, following in zip(instants, [*instants[1:], self._record.span.end], strict=True):
                    if not covers(rolled_back, since):
                        for view in alike:
                            self._check_told(view, team, user, since, told[since], following)

    def _check_told(self, view: View, team: str, user: str, since: int, status: str, following: int) -> None:
        if view.first is None or since < view.first:
            return
        expected = self._expectations.of(team)
        by = expected.delays.read(since + self._bounds.agreement, view.transcript)
        shown = view.at(user, by)
        if by >= following or shown is None or shown.since >= since or shown.status == status:
            return
        if not expected.presence.is_over(view.transcript, by):
            text = f"not told that he is {status}, showed {shown.status}"
            self.verdict.findings.append(
                Finding(Kind.MISSED, Span(since, by), team, user, view.transcript.number, text)
            )

    # --- rule 7: a sign-out is final ----------------------------------------------------------------------------------

    def _look_for_lost_sign_outs(self) -> None:
        for each in self._record.transcripts:
            if each.welcomed is None:
                continue
            self._look_for_missed_sign_outs(each)
            delays, presence, _ = self._expectations.of(*each.teams)
            for logout in presence.logouts(each.user):
                # Let in by who was not told yet, he is thrown out when it comes.
                told = max(each.welcomed, delays.late(logout.at + self._bounds.transit, logout.worker))
                stayed = min(each.ended, self._record.span.end) - told > self._bounds.recovery
                if stayed and logout.session == each.session and logout.at < each.opened:
                    if presence.may_be_lost(logout, each.opened):
                        self.verdict.by_nature[Kind.LOST_SIGN_OUT] += 1
                    else:
                        span, text = Span(each.welcomed, each.ended), "let in after his session had signed out"
                        found = Finding(Kind.LOST_SIGN_OUT, span, each.teams[0], each.user, each.number, text)
                        self.verdict.findings.append(found)

    def _look_for_missed_sign_outs(self, each: Transcript) -> None:
        """Every connection of a session that has signed out ends."""
        expected = self._expectations.of(*each.teams)
        ended = min(each.ended, self._record.span.end)
        for logout in expected.presence.logouts(each.user):
            if logout.session == each.session and each.opened <= logout.at < ended:
                told = expected.delays.late(logout.at + self._bounds.transit, logout.worker)
                by = expected.delays.read(told + self._bounds.agreement, each)
                if by < ended and not expected.presence.may_be_lost(logout):
                    found = Span(by, ended)
                    text = "stayed after another connection of its session had signed out"
                    finding = Finding(Kind.LOST_SIGN_OUT, found, each.teams[0], each.user, each.number, text)
                    self.verdict.findings.append(finding)

    # --- after faults -------------------------------------------------------------------------------------------------

    def _took(self, trouble: Trouble) -> int:
        recovered = trouble.span.end + self._bounds.recovery
        wrong = [each.end for each in union(self._raw) if trouble.span.start <= each.start < recovered]
        return max(0, max(wrong, default=0) - trouble.span.end)
