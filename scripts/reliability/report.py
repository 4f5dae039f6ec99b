"""What is printed of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reliability.oracle.record import Record, Transcript
from reliability.oracle.spans import Span, common, covers, total_ms
from reliability.oracle.verdict import LASTING, Finding, Kind
from reliability.run import Outcome

_SHOWN: Final = 4
# What goes before a finding that explains it, and what comes after it.
_BEFORE_MS: Final = 40_000
_AFTER_MS: Final = 5_000


def report(outcome: Outcome) -> str:
    """Figures, and what was found, with what was going on around it."""
    verdict, record = outcome.verdict, outcome.record
    lines = [f"  {kind.value:<24}{_figure(outcome, kind)}" for kind in Kind]
    for kind, count in verdict.by_nature.items():
        lines.append(f"  {kind.value + ', by nature':<24}{count}")
    lines.append(f"  {'sweep lag':<24}{_sweep_lag(outcome)}")
    lines.append(f"  {'agreement after faults':<24}{_agreement(verdict.agreement)}")
    lines.append(f"  {'machine too busy':<24}{verdict.busy_ms / 1000:.1f} s of {_seconds(record):.0f}")
    lines.append(
        f"  {'judged':<24}{verdict.judged[0]} views of {len(record.transcripts)} connections, "
        f"{verdict.judged[1]} tellings"
    )
    shown = _different(verdict.findings)
    for finding in shown:
        lines += ["", *_story(record, finding)]
    if len(verdict.findings) > len(shown):
        lines.append(f"… and {len(verdict.findings) - len(shown)} more of the same")
    return "\n".join(lines)


def _sweep_lag(outcome: Outcome) -> str:
    """The bounds below which half and all of the times were."""
    counts = outcome.sweep_lag
    total = max(counts.values(), default=0)
    if not total:
        return "nobody went offline"
    half = min(bound for bound, count in counts.items() if count >= total / 2)
    return f"half of {total} below {half:g} s, all below {outcome.worst_sweep_lag_s():g} s"


def _different(findings: list[Finding]) -> list[Finding]:
    """The longest few of each kind, each user once; of what does not last, the first."""
    first: dict[tuple[Kind, str], Finding] = {}
    for finding in sorted(findings, key=_weight):
        first.setdefault((finding.kind, finding.about), finding)
    of_kind = ([each for each in first.values() if each.kind is kind][:_SHOWN] for kind in Kind)
    return [each for few in of_kind for each in few]


def _weight(finding: Finding) -> tuple[int, Span]:
    return (-total_ms([finding.span]) if finding.kind in LASTING else 0, finding.span)


def _figure(outcome: Outcome, kind: Kind) -> str:
    figure = outcome.verdict.figure(kind)
    return f"{figure:.1f} s" if kind in LASTING else f"{figure:.0f}"


def _agreement(found: list[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {ms / 1000:.1f} s" for name, ms in found) or "no faults"


def _seconds(record: Record) -> float:
    return (record.span.end - record.span.start) / 1000


def _story(record: Record, finding: Finding) -> Iterator[str]:
    """A finding, and what there was around it: faults, the connections of whom it is about, what was seen of him."""
    around = [Span(finding.span.start - _BEFORE_MS, finding.span.end + _AFTER_MS)]

    def at(ms: int) -> str:
        return f"{(ms - record.span.start) / 1000:.2f}" if abs(ms - record.span.start) < 10**9 else "…"

    seer = record.transcripts[finding.seen_by]
    yield (
        f"{finding.kind.value}: {finding.about} in {finding.team}, from {at(finding.span.start)} to "
        f"{at(finding.span.end)}, seen by {seer.user} (connection {seer.number} on {seer.worker}): {finding.text}"
    )
    for trouble in (each for each in record.troubles if common([Span(each.span.start, each.span.end + 1)], around)):
        teams = trouble.teams and " ".join(sorted(trouble.teams))
        where = trouble.worker or teams or "all"
        yield f"    fault {trouble.name} of {where} from {at(trouble.span.start)} to {at(trouble.span.end)}"
    for each in record.transcripts:
        if each.user == finding.about and common([Span(each.opened, each.ended)], around):
            yield f"    {_life(each, at)}"
    for at_ms, message in seer.received:
        if not covers(around, at_ms):
            continue
        if message["type"] == "feed":
            where = message.get("team", "all teams")
            yield f"    told at {at(at_ms)}: {where} {'live' if message['live'] else 'stale'}"
        is_whole = message["type"] == "snapshot"
        users = message.get("users", {})
        if message.get("team") == finding.team and (is_whole or finding.about in users):
            yield f"    seen at {at(at_ms)}: {message['type']} {message['version']} {users.get(finding.about)}"


def _life(each: Transcript, at: object) -> str:
    assert callable(at)
    welcomed = "never" if each.welcomed is None else at(each.welcomed)
    beats = ", ".join(f"{at(said.at)}-{said.message['idle_ms'] / 1000:.1f}" for said in each.of_type("heartbeat"))
    chosen = ", ".join(f"{said.message['status']} at {at(said.at)}" for said in each.of_type("set_status"))
    unread = "".join(f"; read nothing {at(start)} to {at(end)}" for start, end in each.unread)
    return (
        f"connection {each.number} of {each.session} on {each.worker}: hello {at(each.opened)}, welcome {welcomed}, "
        f"{each.end.value} {at(each.ended)} ({each.code}); beats {beats}; chose {chosen or 'nothing'}{unread}"
    )
