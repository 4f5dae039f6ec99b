"""The judge finds what a record is doctored with, and nothing in one that is as it should be."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from reliability.oracle.judge import judge
from reliability.oracle.record import End, Loss, Said, Transcript, Trouble
from reliability.oracle.spans import Span
from reliability.oracle.verdict import Kind
from reliability.people import place
from tests.reliability.story import START, TEAM, Story, day


def kinds(story: Story) -> set[Kind]:
    """What is found, each kind once."""
    return {finding.kind for finding in judge(story.record).findings}


def changed(each: Transcript, kind: str, number: int, **fields: Any) -> None:
    """Doctor the nth message of a type that was received."""
    at = [i for i, said in enumerate(each.received) if said.message["type"] == kind][number]
    said = each.received[at]
    each.received[at] = Said(fields.pop("at", said.at), {**said.message, **fields})


def removed(each: Transcript, kind: str, number: int) -> Said:
    """Take it out."""
    found = [said for said in each.received if said.message["type"] == kind][number]
    each.received.remove(found)
    return found


def told_at(story: Story, maria: Transcript, at: int) -> None:
    """Let Juan go offline at another time."""
    removed(maria, "delta", -1)
    story.change("juan", at, "offline", "disconnected", maria)


def trouble(name: str, start: int, end: int, **what: Any) -> Trouble:
    return Trouble(name, Span(START + start, START + end), **what)


def test_nothing_is_found_where_all_is_well() -> None:
    story, _, _ = day()
    verdict = judge(story.record)
    assert verdict.findings == []
    assert verdict.by_nature == Counter()
    assert verdict.judged[0] == 2
    assert verdict.judged[1] > 5


def test_a_ghost_is_found() -> None:
    """Nobody is told that Juan has gone: rule 10 lets him be shown for 3 s and 1.5 s, and views have a second more."""
    story, maria, _ = day()
    removed(maria, "delta", -1)
    assert kinds(story) == {Kind.GHOST}
    assert judge(story.record).figure(Kind.GHOST) == pytest.approx(30 - 12 - 3 - 1.5 - 1, abs=1)


def test_who_is_taken_offline_before_the_grace_is_over_is_found() -> None:
    story, maria, _ = day()
    changed(maria, "delta", -1, at=START + 14_000)
    assert kinds(story) == {Kind.FALSE_OFFLINE}
    assert judge(story.record).figure(Kind.FALSE_OFFLINE) == 1.0


@pytest.mark.parametrize(("unread", "found"), [([], {Kind.FALSE_OFFLINE}), ([(9_000, 13_500)], set())])
def test_who_does_not_read_need_not_see_that_his_connection_ended(
    unread: list[tuple[int, int]], found: set[Kind]
) -> None:
    """The server closed it after nine and a half seconds; at thirteen and a half Juan looks."""
    story, maria, juan = day(juan_leaves=False)
    juan.unread = [Span(START + start, START + end) for start, end in unread]
    story.end(juan, 13_500, End.LOST)
    juan.code = 1012
    story.change("juan", 12_600, "offline", "disconnected", maria)
    maria.received.sort(key=lambda said: said.at)
    assert kinds(story) - {Kind.CLOSED} == found


def test_who_idles_before_his_time_is_found() -> None:
    story, maria, juan = day(juan_leaves=False)
    story.change("juan", 15_000, "offline", "idle", maria, juan)
    assert kinds(story) == {Kind.FALSE_OFFLINE}


def test_who_does_not_idle_in_time_is_found() -> None:
    """Juan's last input was at 11 s, the timeout is 8 s."""
    story, maria, juan = day(juan_leaves=False)
    story.change("juan", 25_000, "offline", "idle", maria, juan)
    assert kinds(story) == {Kind.GHOST}


def test_a_wrong_colour_is_found() -> None:
    story, maria, juan = day()
    for each in (maria, juan):
        users = {"juan": {"status": "online", "since": START + 6_003, "reason": "chosen"}}
        changed(each, "delta", 2 if each is maria else 1, users=users)
    assert kinds(story) == {Kind.WRONG_COLOUR}


def test_a_change_that_one_connection_is_not_told_is_found() -> None:
    story, maria, _ = day()
    removed(maria, "delta", 2)
    assert kinds(story) == {Kind.MISSED, Kind.WRONG_COLOUR}


def test_a_change_told_twice_is_found() -> None:
    story, maria, _ = day()
    again = [said for said in maria.received if said.message["type"] == "delta"][2]
    maria.received.insert(maria.received.index(again) + 1, Said(again.at + 1, {**again.message, "version": 4}))
    changed(maria, "delta", -1, version=5)
    assert Kind.DOUBLED in kinds(story)


def test_changes_in_the_wrong_order_are_found() -> None:
    story, maria, _ = day()
    first = removed(maria, "delta", 1)
    at = next(i for i, said in enumerate(maria.received) if said.message.get("version") == 3)
    maria.received.insert(at + 1, Said(maria.received[at].at + 1, first.message))
    assert Kind.REORDERED in kinds(story)


def test_an_acknowledged_choice_that_is_lost_is_found() -> None:
    story, maria, juan = day()
    again = story.connect("juan", 12_500, before=juan)
    story.work(again, 13_000, 30_000)
    removed(maria, "delta", -1)
    assert Kind.LOST_CHOICE in kinds(story)


def test_a_choice_of_a_failovers_last_second_is_lost_by_its_nature() -> None:
    story, _, juan = day()
    story.record.troubles = [trouble("failover", 6_500, 7_000, outage=True, loss=Loss.LAST_WRITES)]
    changed(juan, "self", 1, chosen="online", at=START + 12_000)
    story.hear(juan, 11_999, type="self", team=TEAM, chosen="online", idle_timeout_ms=8_000)
    verdict = judge(story.record)
    assert verdict.findings == []
    assert verdict.by_nature[Kind.LOST_CHOICE] == 2


def test_a_request_without_an_answer_is_found() -> None:
    story, maria, _ = day()
    removed(maria, "ack", 3)
    assert kinds(story) == {Kind.UNANSWERED}


def test_a_close_for_no_reason_is_found() -> None:
    story, _, juan = day()
    story.end(juan, 12_000, End.LOST)
    juan.code = 4506
    assert kinds(story) == {Kind.CLOSED}


def test_stale_without_a_fault_is_found() -> None:
    story, maria, _ = day()
    story.hear(maria, 20_000, type="feed", live=False)
    story.hear(maria, 21_000, type="feed", live=True)
    assert kinds(story) == {Kind.STALE}
    story.record.troubles = [trouble("redis-stop", 17_000, 20_000, outage=True)]
    assert kinds(story) == set()


def test_a_sign_out_that_is_not_final_is_found() -> None:
    story, maria, juan = day(juan_leaves=False)
    story.say(juan, 12_000, type="logout")
    story.end(juan, 12_000, End.SIGNED_OUT)
    assert kinds(story) == {Kind.GHOST}
    story.change("juan", 12_100, "offline", "signed_out", maria)
    assert kinds(story) == set()


def test_an_outage_puts_off_an_end_by_a_lease_and_no_longer() -> None:
    """Redis is away when Juan's grace ends: he may be shown until a lease after it is back, but not for ever."""
    story, maria, _ = day()
    removed(maria, "delta", -1)
    story.record.troubles = [trouble("redis-stop", 13_000, 16_000, outage=True)]
    assert kinds(story) == {Kind.GHOST}
    story.change("juan", 22_000, "offline", "disconnected", maria)
    assert kinds(story) == set()


def test_an_outage_excuses_nobody_who_is_shown_offline_too_early() -> None:
    story, maria, _ = day()
    changed(maria, "delta", -1, at=START + 14_000)
    story.record.troubles = [trouble("redis-stop", 12_500, 13_500, outage=True)]
    assert kinds(story) == {Kind.FALSE_OFFLINE}


def test_the_grace_of_a_dead_worker_lasts_to_the_end_of_its_lease() -> None:
    """It died at 11.9 s: Juan may be shown up to its lease and 1.5 s later."""
    story, maria, juan = day()
    story.end(juan, 12_000, End.LOST)
    story.record.troubles = [trouble("worker-kill", 11_900, 11_900, worker="worker1", died=True)]
    maria.worker = "worker2"
    told_at(story, maria, 19_000)
    assert kinds(story) == set()
    told_at(story, maria, 25_000)
    assert kinds(story) == {Kind.GHOST}


def test_a_machine_that_was_too_busy_is_told_and_not_judged() -> None:
    story, maria, _ = day()
    told_at(story, maria, 18_500)
    assert kinds(story) == {Kind.GHOST}
    story.record.busy = [Span(START + 15_000, START + 18_000)]
    verdict = judge(story.record)
    assert (verdict.findings, verdict.busy_ms) == ([], 3_000)


def test_who_looks_at_some_alone_is_not_blamed_for_the_others() -> None:
    story, maria, _ = day()
    removed(maria, "delta", -1)
    story.say(maria, 11_000, type="watch", team=TEAM, users=["ana"], id="w")
    story.hear(maria, 11_005, type="ack", id="w")
    users = {"maria": {"status": "online", "since": START - 995, "reason": "signed_in"}}
    story.hear(maria, 11_006, type="snapshot", team=TEAM, epoch="e1", version=3, users=users)
    for said in (maria.sent, maria.received):
        said.sort(key=lambda said: said.at)
    assert kinds(story) == set()


def test_how_long_a_fault_took_to_mend_is_told() -> None:
    story, maria, _ = day()
    changed(maria, "delta", 2, at=START + 8_500)
    story.record.troubles = [trouble("cut", 6_000, 7_000, worker="worker1")]
    verdict = judge(story.record)
    assert verdict.findings == []
    assert verdict.agreement == [("cut", 1_500)]


def test_a_shard_that_is_lost_excuses_its_own_teams_alone() -> None:
    """Juan's grace ends while some shard is away: if it is another team's, he is a ghost all the same."""
    story, maria, _ = day()
    told_at(story, maria, 22_000)
    story.record.troubles = [trouble("shard-stop", 13_000, 16_000, outage=True, teams=frozenset({TEAM, "globex"}))]
    assert kinds(story) == set()
    story.record.troubles = [trouble("shard-stop", 13_000, 16_000, outage=True, teams=frozenset({"globex"}))]
    assert kinds(story) == {Kind.GHOST}


def test_a_team_is_stale_until_it_is_told_to_be_live_itself() -> None:
    """That another team is live again says nothing of this one."""
    story, maria, _ = day()
    story.record.troubles = [trouble("shard-stop", 17_000, 20_000, outage=True, teams=frozenset({TEAM}))]
    story.hear(maria, 18_000, type="feed", live=False, team=TEAM)
    story.hear(maria, 20_500, type="feed", live=True, team=TEAM)
    assert kinds(story) == set()
    changed(maria, "feed", -1, team="globex")
    assert kinds(story) == {Kind.STALE}
    changed(maria, "feed", -1, team=TEAM)
    story.record.troubles = [trouble("shard-stop", 17_000, 20_000, outage=True, teams=frozenset({"globex"}))]
    assert kinds(story) == {Kind.STALE}


def test_an_answer_that_comes_late_for_no_reason_is_found() -> None:
    story, maria, _ = day()
    said = removed(maria, "ack", 3)
    story.hear(maria, said.at - START + 4_000, **said.message)
    assert kinds(story) == {Kind.UNANSWERED}
    story.record.troubles = [trouble("redis-stop", said.at - START - 10, said.at - START + 1_500, outage=True)]
    assert kinds(story) == set()


@pytest.mark.parametrize("loss", [Loss.LAST_WRITES, Loss.EVERYTHING])
def test_input_that_nobody_else_knew_of_is_lost_with_all_of_redis_alone(loss: Loss) -> None:
    """Juan's laptop, where he worked last, is closed before Redis loses something; his telephone is still there."""
    story, maria, juan = day(juan_leaves=False)
    juan.sent = [said for said in juan.sent if said.at <= START + 6_000]
    laptop = story.connect("juan", 7_000, session="s2")
    changed(laptop, "self", 0, chosen="busy")
    story.work(laptop, 7_500, 9_500)
    story.end(laptop, 9_800, End.LEFT)
    story.record.troubles = [trouble("loss", 10_000, 10_100, outage=True, loss=loss)]
    story.change("juan", 14_200, "offline", "idle", maria, juan)
    assert kinds(story) == ({Kind.FALSE_OFFLINE} if loss is Loss.LAST_WRITES else set())


def test_connections_of_one_process_are_on_one_worker() -> None:
    """A balancer that is asked about ports may speak of a connection before, or of none."""
    story = Story()
    connections = [story.connect(f"u{number}", number) for number in range(5)]
    for number, each in enumerate(connections):
        changed(each, "welcome", 0, connection=f"{'new' if number < 4 else 'other'}-{number}")
    for each, said in zip(connections, ("worker1", None, "worker2", "worker1", None), strict=True):
        each.worker = said
    place(story.record.transcripts)
    assert [each.worker for each in connections] == ["worker1"] * 4 + [None]


def test_a_tab_that_stays_after_its_session_has_signed_out_is_found() -> None:
    """Even where he is there by another session, so that nobody sees a difference."""
    story, _, juan = day(juan_leaves=False)
    other = story.connect("juan", 6_900, session="s2")
    changed(other, "self", 0, chosen="busy")
    story.work(other, 12_000, 30_000)
    tab = story.connect("juan", 7_000)
    changed(tab, "self", 0, chosen="busy")
    story.say(juan, 12_000, type="logout")
    story.end(juan, 12_000, End.SIGNED_OUT)
    assert kinds(story) == {Kind.LOST_SIGN_OUT}
    story.end(tab, 12_300, End.LOST)
    tab.code = 4506
    assert kinds(story) == set()


def test_a_worker_that_is_silent_is_found_before_its_tabs_give_up() -> None:
    story, maria, _ = day()
    story.say(maria, 29_000, type="heartbeat", idle_ms=0, id="unanswered")
    story.end(maria, 29_900, End.LEFT)
    assert kinds(story) == set()
    maria.sent[-1] = Said(START + 25_000, maria.sent[-1].message)
    assert kinds(story) == {Kind.UNANSWERED}
