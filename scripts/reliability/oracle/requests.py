"""What clients asked for and what they were told of themselves: answers, choices, settings, ends."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from reliability.oracle.expectations import Expectations
from reliability.oracle.record import End, Record, Said, Transcript
from reliability.oracle.spans import FOREVER, Span, common, prolonged, total_ms, union, without
from reliability.oracle.verdict import Finding, Kind, Verdict

# Closes that a client which does everything right may see: none, cut, draining, try again, too slow.
_EXPECTED_CODES: Final = {None, 1000, 1001, 1005, 1006, 1012, 1013, 4001, 4003}
# A request may come to nothing when Redis is away, and nothing else.
_EXPECTED_ERRORS: Final = {"unavailable"}
_REQUESTS: Final = {"set_status", "watch", "renew", "heartbeat"}


def check(record: Record, expectations: Expectations, verdict: Verdict) -> None:
    """Add what is wrong to a verdict."""
    checks = _Requests(record, expectations, verdict)
    for each in record.transcripts:
        checks.ended(each)
        checks.answered(each)
        checks.told_of_himself(each)
        checks.kept_fresh(each)


class _Requests:
    def __init__(self, record: Record, expectations: Expectations, verdict: Verdict) -> None:
        self._record, self._bounds = record, record.bounds
        self._expectations, self._verdict = expectations, verdict

    def ended(self, each: Transcript) -> None:
        """Nobody is thrown out who has done nothing wrong."""
        delays, presence, _ = self._expectations.of(*each.teams)
        signed_out = presence.is_over(each, each.ended)
        expected = _EXPECTED_CODES | ({4506} if signed_out else set()) | ({1011} if each.unread else set())
        if each.end is End.LOST and each.code not in expected:
            # A ping that goes unanswered since the machine has no time for the client.
            if each.code == 1011 and delays.everywhere(each.ended - self._bounds.ping) > each.ended:
                return
            self._found(Kind.CLOSED, each, Span(each.ended, each.ended), "", f"closed with {each.code}")

    def answered(self, each: Transcript) -> None:
        """Each request is answered, at once where nothing is in the way, or after ten seconds of waiting for Redis."""
        answers, delays = each.answers(), self._expectations.of(*each.teams).delays
        over = min(each.ended, self._record.span.end)
        self._check_prompt(each, Span(each.opened, each.welcomed or over), "hello")
        for said in each.sent:
            identity = said.message.get("id")
            if said.message["type"] not in _REQUESTS or identity is None:
                continue
            answer = answers.get(identity)
            due = said.at + self._bounds.unavailable + self._bounds.transit
            due = delays.read(due, each)
            if answer is None and due < min(each.ended, self._record.span.end):
                self._found(Kind.UNANSWERED, each, Span(said.at, due), "", f"no answer to {dict(said.message)}")
            else:
                self._check_prompt(each, Span(said.at, answer.at if answer else over), said.message["type"])
            if answer is not None and answer.message.get("code", "unavailable") not in _EXPECTED_ERRORS:
                self._found(Kind.FORBIDDEN, each, Span(said.at, answer.at), "", f"{answer.message} to {said.message}")

    def _check_prompt(self, each: Transcript, waited: Span, what: str) -> None:
        # What has waited for the end of a fault is carried out after it.
        by = self._expectations.of(*each.teams).delays.read(waited.start + self._bounds.agreement, each)
        by += self._bounds.agreement
        if by < waited.end <= self._record.span.end:
            text = f"{what} waited for {total_ms([waited]) / 1000:.1f} s"
            self._found(Kind.UNANSWERED, each, Span(by, waited.end), "", text)

    def told_of_himself(self, each: Transcript) -> None:
        """`self` says what he chose last, to a new connection all that was acknowledged before (section 5)."""
        seen: set[str] = set()
        for said in each.received:
            if said.message["type"] != "self" or said.message["team"] not in each.teams:
                continue
            team, chosen = said.message["team"], said.message["chosen"]
            late = 0 if team not in seen else self._bounds.agreement
            seen.add(team)
            if said.message["idle_timeout_ms"] != self._record.idle[team] and not self._is_put_right(each, said, team):
                self._found(Kind.FORBIDDEN, each, Span(said.at, said.at), team, f"the team's timeout is lost: {said}")
            if self._may_be_chosen(each, team, chosen, said, late, lossy=False):
                continue
            if self._may_be_chosen(each, team, chosen, said, late, lossy=True):
                self._verdict.by_nature[Kind.LOST_CHOICE] += 1
            else:
                self._found(Kind.LOST_CHOICE, each, Span(said.at, said.at), team, f"told that he chose {chosen}")

    def _is_put_right(self, each: Transcript, wrong: Said, team: str) -> bool:
        """Whether a worker that has just begun knew nothing of a team that Redis had lost, and said so at once."""
        delays = self._expectations.of(team).delays
        if not any(start <= wrong.at < recovered for start, _, recovered in delays.wiped()):
            return False
        by = delays.read(wrong.at + self._bounds.agreement, each)
        right = {"type": "self", "team": team, "idle_timeout_ms": self._record.idle[team]}
        later = (said.message for said in each.received if wrong.at <= said.at <= by)
        return each.ended <= by or any(right.items() <= message.items() for message in later)

    def kept_fresh(self, each: Transcript) -> None:
        """`feed` says that statuses may be stale only while they may, with `team` those of one team alone."""
        stale: defaultdict[str, list[Span]] = defaultdict(list)
        since: dict[str, int] = {}
        for said in (said for said in each.received if said.message["type"] == "feed"):
            for team in [said.message["team"]] if "team" in said.message else each.teams:
                if not said.message["live"]:
                    since.setdefault(team, said.at)
                elif team in since:
                    stale[team].append(Span(since.pop(team), said.at))
        for team, at in since.items():
            stale[team].append(Span(at, min(each.ended, self._record.span.end)))
        for team, spans in stale.items():
            windows = self._expectations.of(team).delays.reading(each)
            excused = union(Span(start, recovered + self._bounds.agreement) for start, _, recovered in windows)
            for span in without(union(spans), excused):
                if total_ms([span]) > self._bounds.jitter:
                    self._found(Kind.STALE, each, span, team, "told that statuses may be stale")

    def _may_be_chosen(self, each: Transcript, team: str, chosen: str, said: Said, late: int, *, lossy: bool) -> bool:
        expected = self._expectations.of(team)

        def until(instant: int) -> int:
            return expected.delays.read(instant + late, each)

        allowed = expected.choices.chosen(each.user, team, chosen, lossy=lossy)
        if late:
            allowed = prolonged(allowed, until)
        return bool(common(allowed, [Span(each.opened if not late else said.at, min(said.at + 1, FOREVER))]))

    def _found(self, kind: Kind, each: Transcript, span: Span, team: str, text: str) -> None:
        self._verdict.findings.append(Finding(kind, span, team, each.user, each.number, text))
