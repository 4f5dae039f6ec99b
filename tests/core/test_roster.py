"""The roster: whatever way a team's history reaches it, it is that history's fold."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server.core.roster import NO_MARK, Change, Entry, Mark, News, Roster, Update, Verdict
from presence_server.core.status import Presence

EPOCH = "k3"
USERS = st.sampled_from(["maria", "juan", "ana", "__proto__", "constructor"])


def mark(version: int, epoch: str = EPOCH) -> Mark:
    return Mark(epoch, version, f"tip{version}")


def change(user: str, version: int, status: str = "online", chosen: str = "online") -> Change:
    return Change(user, version, status, 1000 * version, "signed_in", chosen)


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """What a team went through; versions that only a setting or a sign-out took are left out, as in messages."""
    found, version = [], 0
    for user, status, skipped in draw(
        st.lists(st.tuples(USERS, st.sampled_from(["online", "busy", "offline"]), st.integers(0, 1)), max_size=20)
    ):
        version += 1 + skipped
        found.append(change(user, version, status))
    return found


def fold(history: list[Change]) -> dict[str, Change]:
    """What the store has: each user's newest change."""
    return {item.user: item for item in history}


def page(history: list[Change], after: int) -> list[Change]:
    """What the store tells of a history: who changed after a version, in the order of versions."""
    return sorted((item for item in fold(history).values() if item.version > after), key=lambda item: item.version)


def content(roster: Roster) -> dict[str, Change]:
    return {
        user: Change(user, entry.version, entry.status, entry.since, entry.reason, entry.chosen)
        for user, entry in roster.items()
    }


def roster_of(history: list[Change], floor: int = 0) -> Roster:
    roster = Roster()
    roster.replace(page(history, 0), mark(last_version(history)), floor)
    return roster


def last_version(history: list[Change]) -> int:
    return history[-1].version if history else 0


def update(history: list[Change], first: int, last: int) -> Update:
    """The message that told of `history[first:last]`, which is not empty."""
    previous = history[first - 1].version if first else 0
    return Update(mark(history[last - 1].version), previous, mark(previous).tip, tuple(history[first:last]))


# --- histories --------------------------------------------------------------------------------------------------------


@given(histories(), st.data())
def test_updates_lost_doubled_late_and_overlapping_lead_to_the_fold(history: list[Change], data: st.DataObject) -> None:
    roster = roster_of([])
    spans = st.tuples(st.integers(0, len(history)), st.integers(0, len(history))).filter(lambda span: span[0] < span[1])
    sent = data.draw(st.lists(spans, max_size=12)) if history else []
    for first, last in sent:
        told = update(history, first, last)
        position = roster.mark.version
        verdict = roster.judge(told)
        if told.mark.version <= position:
            assert verdict is Verdict.KNOWN
            continue
        if told.previous > position:
            assert verdict is Verdict.HOLE
            # What its owner does: read again what changed since.
            history_then = history[:last]
            roster.apply(page(history_then, position), told.mark)
        else:
            assert verdict is Verdict.NEXT
            news = roster.apply(told.changes, told.mark)
            assert [item.change for item in news] == [item for item in told.changes if item.version > position]
        assert content(roster) == fold(history[:last])
        assert roster.mark == told.mark
    roster.apply(page(history, roster.mark.version), mark(last_version(history)))
    assert content(roster) == fold(history)


@given(histories(), st.integers(0, 45))
def test_since_is_what_changed_after_a_version_newest_first(history: list[Change], version: int) -> None:
    roster = roster_of([])
    for at in range(len(history)):
        roster.apply(history[at : at + 1], mark(history[at].version))
    found = [user for user, _ in roster.since(version)]
    assert found == [item.user for item in reversed(page(history, version))]
    assert [user for user, _ in roster.items()] == [item.user for item in page(history, 0)]


@given(histories(), st.integers(0, 20))
def test_a_view_that_continues_gets_there_by_since(history: list[Change], at: int) -> None:
    """Resume: the state at a version, plus what changed since, is the state now."""
    before, now = roster_of(history[:at]), roster_of(history)
    assert now.continues(EPOCH, before.mark.version)
    view = {user: entry.presence for user, entry in before.visible()}
    view |= {user: entry.presence for user, entry in now.since(before.mark.version)}
    visible = {user: presence for user, presence in view.items() if presence.status != "offline"}
    assert visible == {user: entry.presence for user, entry in now.visible()}


@given(histories(), st.integers(0, 50_000))
def test_who_is_forgotten_was_offline_for_long_and_raises_the_floor(history: list[Change], before_ms: int) -> None:
    roster = roster_of(history)
    gone = {user for user, item in fold(history).items() if item.status == "offline" and item.since < before_ms}
    assert roster.forget_offline(before_ms) == len(gone)
    assert content(roster) == {user: item for user, item in fold(history).items() if user not in gone}
    assert roster.floor == max((fold(history)[user].version for user in gone), default=0)
    assert roster.forget_offline(before_ms) == 0
    for version in range(last_version(history) + 1):
        if roster.continues(EPOCH, version):
            assert {user for user, _ in roster.since(version)} == {item.user for item in page(history, version)}


# --- judge and continue -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("previous", "version", "verdict"),
    [
        (5, 6, Verdict.NEXT),
        (5, 9, Verdict.NEXT),
        (3, 6, Verdict.NEXT),
        (6, 7, Verdict.HOLE),
        (9, 10, Verdict.HOLE),
        (4, 5, Verdict.KNOWN),
        (0, 1, Verdict.KNOWN),
    ],
)
def test_an_update_continues_a_roster_or_shows_that_something_was_missed(
    previous: int, version: int, verdict: Verdict
) -> None:
    roster = roster_of([change("maria", 5)])
    assert roster.judge(Update(mark(version), previous, mark(previous).tip, ())) is verdict
    assert roster.mark == mark(5)


@pytest.mark.parametrize("version", [1, 5, 6])
def test_an_update_of_another_epoch_is_no_continuation(version: int) -> None:
    roster = roster_of([change("maria", 5)])
    assert roster.judge(Update(mark(version, "k4"), version - 1, "", ())) is Verdict.OTHER_EPOCH


def test_another_change_under_a_number_that_was_seen_is_a_fork() -> None:
    """A failover lost version 5, and another 5 was overtaken by a 6 before anybody looked: the tip before it tells."""
    roster = roster_of([change("maria", 5)])
    assert roster.judge(Update(mark(6), 5, "another", ())) is Verdict.FORK
    assert roster.judge(Update(mark(6), 4, "another", ())) is Verdict.NEXT, "it holds the 5 as well"
    # A page that is not the last one leaves no tip to compare.
    roster.apply((), roster.mark._replace(tip=""))
    assert roster.judge(Update(mark(6), 5, "another", ())) is Verdict.NEXT


def test_a_new_roster_knows_nothing() -> None:
    roster = Roster()
    assert (roster.mark, roster.floor, len(roster)) == (NO_MARK, 0, 0)
    assert roster.get("maria") is None
    assert roster.judge(Update(mark(1), 0, "", (change("maria", 1),))) is Verdict.NEXT, "the first that ever happened"
    assert roster.judge(Update(mark(2), 1, "", (change("maria", 2),))) is Verdict.OTHER_EPOCH


def test_positions_that_can_be_continued_from() -> None:
    roster = roster_of([change("maria", 5), change("juan", 9)], floor=4)
    assert [version for version in range(12) if roster.continues(EPOCH, version)] == [4, 5, 6, 7, 8, 9]
    assert not roster.continues("k4", 5)


def test_a_position_can_only_be_continued_while_it_says_nothing_new() -> None:
    assert list(roster_of([change("maria", 5)]).since(5)) == []


# --- entries and news -------------------------------------------------------------------------------------------------


def test_a_replaced_roster_is_what_was_read_and_nothing_else() -> None:
    roster = roster_of([change("maria", 1), change("juan", 2)])
    roster.replace([change("ana", 7)], mark(8, "k4"), 6)
    assert (content(roster), roster.mark, roster.floor) == ({"ana": change("ana", 7)}, mark(8, "k4"), 6)
    assert len(roster) == 1


def test_an_entry_is_encoded_once_for_everybody() -> None:
    roster = roster_of([Change("maria", 5, "offline", 1763800012345, "idle", "busy")])
    entry = roster.get("maria")
    assert entry is not None
    assert entry.presence == Presence("offline", 1763800012345, "idle")
    assert entry.chosen == "busy"
    assert orjson.loads(b"{%b}" % entry.fragment) == {
        "maria": {"status": "offline", "since": 1763800012345, "reason": "idle"}
    }


def test_who_is_offline_is_in_the_roster_and_not_to_be_seen() -> None:
    roster = roster_of([change("maria", 1), change("juan", 2, "offline"), change("ana", 3, "busy")])
    assert [user for user, _ in roster.visible()] == ["maria", "ana"]


@pytest.mark.parametrize(
    ("before", "after", "visible"),
    [
        (None, ("online", 1, "signed_in", "online"), True),
        (None, ("offline", 0, "", "busy"), False),
        # He had chosen without ever having been there, and comes in idle.
        (("offline", 0, "", "busy"), ("offline", 9, "idle", "busy"), False),
        (("offline", 0, "", "busy"), ("busy", 9, "signed_in", "busy"), True),
        (("online", 1, "signed_in", "online"), ("busy", 2, "chosen", "busy"), True),
        (("online", 1, "signed_in", "online"), ("offline", 2, "idle", "online"), True),
        # Only the choice is another one: nobody but the user himself is told (no change, no message).
        (("offline", 1, "idle", "online"), ("offline", 1, "idle", "busy"), False),
        # Down and up again between two looks: a change all the same.
        (("online", 1, "signed_in", "online"), ("online", 9, "signed_in", "online"), True),
        (("online", 1, "signed_in", "online"), ("online", 1, "active", "online"), True),
    ],
)
def test_news_are_visible_if_teammates_see_a_difference(
    before: tuple[str, int, str, str] | None, after: tuple[str, int, str, str], visible: bool
) -> None:
    entry = None if before is None else Entry(Change("maria", 1, *before))
    assert News(Change("maria", 2, *after), entry).visible is visible


def test_applying_tells_what_was_there_before() -> None:
    roster = roster_of([change("maria", 1)])
    first = roster.get("maria")
    news = roster.apply([change("maria", 2, "busy"), change("juan", 3)], mark(3))
    assert news == [News(change("maria", 2, "busy"), first), News(change("juan", 3), None)]


def test_what_only_the_user_himself_sees_is_not_shown_again() -> None:
    """A view that resumes is told of what teammates could see, and not of a choice made while away."""
    roster = roster_of([change("maria", 1, "offline"), change("juan", 2)])
    roster.apply([Change("maria", 3, "offline", 1000, "signed_in", "busy"), change("juan", 4, "busy")], mark(4))
    assert {user: (entry.version, entry.shown) for user, entry in roster.items()} == {"maria": (3, 1), "juan": (4, 4)}
    roster.apply([Change("maria", 5, "offline", 1000, "signed_in", "online")], mark(5))
    maria = roster.get("maria")
    assert maria is not None
    assert (maria.version, maria.shown) == (5, 1)


def test_nor_after_the_team_was_read_again() -> None:
    """Whoever resumes is told only what he has not seen, although Redis does not say what of it was visible."""
    roster = Roster()
    roster.apply([change("maria", 1), change("juan", 2)], mark(2))
    maria = change("maria", 3, chosen="busy")._replace(since=1000)
    roster.replace([maria, change("juan", 4, "busy"), change("ana", 5)], mark(5), 0)
    assert {user: entry.shown for user, entry in roster.items()} == {"maria": 1, "juan": 4, "ana": 5}
    roster.replace([maria], mark(3, "k4"), 0)
    assert [entry.shown for _, entry in roster.items()] == [3]
