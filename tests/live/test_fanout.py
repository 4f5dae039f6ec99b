"""Fan-out: everyone who reads ends with the roster's view, told each change once, and nobody is sent a backlog."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from presence_server.live import fanout
from presence_server.live.fanout import MAX_WINDOW_S
from tests.live.room import Room, settle, until

CROWD = {"ana": "online", "juan": "busy", "luz": "online", "eva": "busy", "leo": "online"}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two users to a part of a snapshot, two sockets to a turn of the loop."""
    monkeypatch.setattr(fanout, "PART", 2)
    monkeypatch.setattr(fanout, "SLICE", 2)
    monkeypatch.setattr(fanout, "SNAPSHOTS", 2)


def crowded(*teams: str, coalesce_s: float = 1e9) -> Room:
    room = Room(*teams, coalesce_s=coalesce_s)
    for team in room.teams.values():
        team.begin_epoch("k1", CROWD)
    return room


async def test_who_comes_gets_a_snapshot_in_parts() -> None:
    maria = crowded().join()
    assert [message.get("more") for message in maria.messages] == [True, True, None]
    assert maria.shown() == CROWD


async def test_an_empty_team_is_a_snapshot_too() -> None:
    maria = Room().join()
    assert maria.types == ["snapshot"]
    assert maria.shown() == {}


async def test_a_flush_is_one_frame_to_each_with_the_newest_alone() -> None:
    room = crowded()
    members = [room.join() for _ in range(7)]
    room.team.change(("ana", "busy"), ("juan", "offline"))
    room.team.change(("ana", "online"))
    room.flush()
    await settle()
    for member in members:
        assert member.types == ["snapshot"] * 3 + ["delta"]
        assert member.messages[-1]["users"].keys() == {"ana", "juan"}
        assert member.shown() == room.team.statuses()
    assert room.counters.updates_delivered == 7 * 2
    assert room.counters.frames_sent == 7 * (3 + 1)


async def test_no_change_is_no_message() -> None:
    room = crowded()
    maria = room.join()
    room.flush()
    room.team.configure()
    room.team.choose_offline("nobody", "busy")
    room.flush()
    assert maria.types == ["snapshot"] * 3


async def test_the_first_change_after_quiet_goes_out_at_once_and_the_next_together() -> None:
    room = crowded(coalesce_s=0.3)
    maria = room.join()
    room.team.change(("ana", "busy"))
    assert maria.types[3:] == []
    await until(lambda: maria.types[3:])
    for status in ("online", "busy", "online"):
        room.team.change(("ana", status))
        await asyncio.sleep(0.002)
    assert len(maria.types[3:]) == 1
    await until(lambda: maria.shown()["ana"] == "online")
    assert len(maria.types[3:]) == 2


@pytest.mark.parametrize("watch", [None, ["ana"]], ids=["for all", "for those who watch"])
async def test_the_window_grows_with_the_work_and_not_without_end(
    monkeypatch: pytest.MonkeyPatch, watch: list[str] | None
) -> None:
    room = crowded(coalesce_s=0.001)
    maria = room.join(watch=watch)
    clock = itertools.count(0.0, 100.0)
    monkeypatch.setattr("presence_server.live.fanout.time.thread_time", lambda: next(clock))
    room.team.change(("ana", "busy"))
    room.flush()
    monkeypatch.undo()
    begin_s = asyncio.get_running_loop().time()
    room.team.change(("ana", "online"))
    await until(lambda: maria.shown()["ana"] == "online")
    assert asyncio.get_running_loop().time() - begin_s >= MAX_WINDOW_S - 0.1


async def test_resumed_with_what_changed_since_and_nothing_else() -> None:
    room = crowded()
    before = room.join()
    room.connections.lost(before.connection, 1006)
    room.team.change(("ana", "busy"), ("leo", "offline"))
    after = room.join(resume_from=before)
    assert after.types == ["delta"]
    assert after.messages[0]["users"].keys() == {"ana", "leo"}
    assert after.shown() == room.team.statuses()
    again = room.join(resume_from=after)
    assert [message["users"] for message in again.messages] == [{}]


async def test_resumed_it_is_not_told_again_of_what_nobody_could_see() -> None:
    """Someone offline has chosen: his state is a newer version, but no news."""
    room = crowded()
    room.team.change(("leo", "offline"))
    before = room.join()
    room.team.change(("eva", "offline"))
    room.flush()
    room.team.choose_offline("eva", "busy")
    after = room.join(resume_from=before)
    assert [message["users"] for message in after.messages] == [{}]


@pytest.mark.parametrize("lost", ["epoch", "floor"])
async def test_what_cannot_be_continued_is_a_snapshot(lost: str) -> None:
    room = crowded()
    room.team.change(("leo", "offline"))
    before = room.join()
    room.team.change(("eva", "offline"))
    room.connections.lost(before.connection, 1006)
    if lost == "epoch":
        room.team.begin_epoch("k2", CROWD)
    else:
        room.team.roster.forget_offline(1_000_000)
    after = room.join(resume_from=before)
    assert set(after.types) == {"snapshot"}
    assert after.shown() == room.team.statuses()


async def test_narrowed_it_is_told_of_those_and_himself_alone() -> None:
    room = crowded()
    room.team.change(("maria", "online"))
    maria = room.join(watch=["ana", "nobody"])
    assert maria.shown() == {"ana": "online", "maria": "online"}
    room.team.change(("juan", "online"), ("ana", "busy"))
    room.flush()
    room.team.change(("juan", "busy"))
    room.flush()
    assert [message["users"].keys() for message in maria.messages[1:]] == [{"ana"}]
    room.rewatch(maria, None)
    assert maria.shown() == room.team.statuses()
    room.rewatch(maria, [])
    assert maria.shown() == {"maria": "online"}
    room.connections.lost(maria.connection, 1000)
    room.team.change(("maria", "busy"))
    room.flush()


async def test_who_is_blocked_is_passed_by_and_then_told_the_newest_alone() -> None:
    room = crowded()
    slow, quick, watching = room.join(), room.join(), room.join(watch=["ana"])
    for member in (slow, watching):
        member.narrow = True
    for status in ("busy", "online", "busy"):
        room.team.change(("ana", status))
        room.flush()
        await settle()
    assert [len(member.types) for member in (slow, quick, watching)] == [4, 6, 2]
    assert not slow.reading
    for member in (slow, watching):
        member.widen()
        assert member.shown()["ana"] == "busy"
    assert [len(member.types) for member in (slow, quick, watching)] == [5, 6, 3]
    assert slow.reading


async def test_blocked_while_changes_are_gathered_it_misses_none_of_them() -> None:
    room = crowded()
    slow = room.join()
    room.team.change(("ana", "busy"))
    room.connections.paused(slow.connection)
    room.team.change(("juan", "online"))
    slow.widen()
    assert slow.shown() == room.team.statuses()
    room.flush()
    assert slow.types[3:] == ["delta"]


async def test_blocked_in_the_middle_of_a_snapshot_it_gets_the_rest_before_anything_else() -> None:
    room = crowded()
    slow = room.join(narrow=True)
    room.team.change(("ana", "busy"))
    room.flush()
    assert slow.types == ["snapshot"]
    room.connections.resumed(slow.connection)
    assert slow.types == ["snapshot"] * 2
    slow.widen()
    assert slow.types == ["snapshot"] * 3 + ["delta"]
    assert slow.shown() == room.team.statuses()


async def test_blocked_in_the_middle_of_one_teams_snapshot_it_still_gets_all_of_both() -> None:
    """A token with two large teams, and a line that takes one part at a time."""
    room = crowded("acme", "bell")
    slow = room.join(narrow=True)
    for _ in range(10):
        room.connections.resumed(slow.connection)
    slow.widen()
    for name, team in room.teams.items():
        assert slow.shown(name) == team.statuses()
        team.change(("ana", "busy"))
    room.flush()
    for name, team in room.teams.items():
        assert slow.shown(name) == team.statuses()


@pytest.mark.parametrize("users", [None, ["ana", "juan", "luz"], []])
async def test_rewatched_in_the_middle_of_a_snapshot_it_gets_the_rest_and_then_the_new_one(
    users: list[str] | None,
) -> None:
    """Or a client would add what comes to what it had begun to replace."""
    room = crowded()
    slow = room.join(narrow=True)
    for _ in range(5):
        room.rewatch(slow, users)
    assert len(slow.types) == 1
    slow.widen()
    assert slow.shown() == room.team.statuses(None if users is None else [*users, "maria"])
    # However often it asked: the rest of the first, and the newest.
    assert len(slow.types) <= 3 + 3


async def test_another_epoch_is_a_snapshot_to_everybody() -> None:
    room = crowded()
    members = [*(room.join() for _ in range(5)), room.join(watch=["ana"]), room.join(narrow=True)]
    room.team.change(("ana", "busy"))
    room.team.begin_epoch("k2", {"ana": "online", "new": "busy"})
    members[0].narrow = True
    room.team.change(("new", "online"))
    room.flush()
    await settle()
    for member in members:
        member.widen()
    for member in members:
        watched = ["ana", "maria"] if member is members[5] else None
        assert member.shown() == room.team.statuses(watched)
        assert member.messages[-1]["epoch"] == "k2"


async def test_who_is_gone_is_sent_nothing() -> None:
    """Not even what he was still owed of a flush in slices."""
    room = crowded()
    members = [room.join() for _ in range(6)]
    room.team.change(("ana", "busy"))
    room.flush()
    for member in members:
        room.connections.lost(member.connection, 1006)
        member.closed = 1006
    await settle()
    assert [len(member.types) for member in members] == [4, 4, 3, 3, 3, 3]


async def test_who_is_blocked_while_still_owed_a_flush_misses_nothing() -> None:
    room = crowded()
    members = [room.join() for _ in range(6)]
    room.team.change(("ana", "busy"))
    room.flush()
    room.connections.paused(members[-1].connection)
    room.team.change(("juan", "online"))
    room.flush()
    await settle()
    members[-1].widen()
    for member in members:
        assert member.shown() == room.team.statuses()


async def test_a_flush_pays_first_what_is_owed_of_the_one_before() -> None:
    room = crowded()
    members = [room.join() for _ in range(6)]
    for status in ("busy", "online", "busy"):
        room.team.change(("ana", status))
        room.flush()
    await settle()
    for member in members:
        assert [message["users"]["ana"]["status"] for message in member.messages[3:]] == ["busy", "online", "busy"]


async def test_closed_it_flushes_no_more() -> None:
    room = crowded(coalesce_s=0.001)
    maria = room.join()
    room.team.change(("ana", "busy"))
    room.team.fanout.close()
    await asyncio.sleep(0.01)
    assert maria.types == ["snapshot"] * 3
