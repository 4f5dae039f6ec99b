"""Reading teams: what changed since, page by page; details of users; and where many teams stand."""

from __future__ import annotations

import asyncio

import pytest
import redis

from presence_server.core.roster import NO_MARK, Change
from presence_server.core.status import UserDetail
from presence_server.store.operations import changes, details
from presence_server.store.operations.configure import KEEP_GRACE
from presence_server.store.reads import NEVER
from presence_server.store.types import Fence
from tests.store.support import GRACE_MS, IDLE_MS, TEAM, Clock, NewParty, Party


async def crowd(party: Party, number: int) -> list[str]:
    users = [f"u{n}" for n in range(number)]
    await asyncio.gather(*[party.join(user) for user in users])
    return users


async def test_changes_come_in_the_order_of_versions_and_in_pages(party: Party) -> None:
    await crowd(party, changes.AT_ONCE + 1)
    first = await party.page()
    second = await party.page(first.changes[-1].version)
    assert (len(first.changes), first.more, len(second.changes), second.more) == (changes.AT_ONCE, True, 1, False)
    versions = [change.version for change in first.changes + second.changes]
    assert versions == list(range(1, changes.AT_ONCE + 2))
    assert (await party.page(changes.AT_ONCE + 1)).changes == []


async def test_each_user_is_told_of_once_as_he_is_now(party: Party, clock: Clock) -> None:
    await party.join("maria")
    await party.join("juan")
    await party.choose("maria", "busy")
    page = await party.page()
    assert page.changes == [
        Change("juan", 2, "online", clock.now_ms, "signed_in", "online"),
        Change("maria", 3, "busy", clock.now_ms, "chosen", "busy"),
    ]
    assert (page.idle_timeout_ms, page.grace_ms, page.more) == (IDLE_MS, GRACE_MS, False)
    assert [change.user for change in (await party.page(2)).changes] == ["maria"]


async def test_with_them_come_the_holds_of_ones_own(new_party: NewParty) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join("maria", "s1")
    await first.join("maria", "s2")
    await second.join("maria", "s3")
    await second.join("juan", "s4")
    assert (await first.page()).held == {("maria", "s1"), ("maria", "s2")}
    assert (await second.page()).held == {("maria", "s3"), ("juan", "s4")}
    assert (await second.page()).standing.fences == {
        "w1": Fence(first.store.acknowledged(TEAM), 0),
        "w2": Fence(second.store.acknowledged(TEAM), 0),
    }


async def test_whose_record_has_expired_has_long_been_offline(
    party: Party, client: redis.Redis, key_prefix: str, clock: Clock
) -> None:
    await party.join()
    await party.log_out()
    client.delete(f"{key_prefix}:{{{TEAM}}}:user:maria")
    [change] = (await party.page()).changes
    assert (change.status, change.reason, change.chosen) == ("offline", "disconnected", "online")
    assert await party.detail() == UserDetail("maria", "offline")


async def test_a_team_nobody_has_used_has_no_mark(party: Party) -> None:
    page = await party.page()
    assert (page.standing.mark, page.changes, page.standing.floor, page.more) == (NO_MARK, [], 0, False)
    assert (page.idle_timeout_ms, page.grace_ms, page.held) == (IDLE_MS, GRACE_MS, frozenset())


@pytest.mark.parametrize("operation", ["join", "configure", "sign_out", "choose"])
async def test_whatever_is_written_first_begins_the_epoch(party: Party, operation: str) -> None:
    if operation == "join":
        await party.join()
    elif operation == "configure":
        await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    elif operation == "sign_out":
        await party.store.sign_out(TEAM, "maria", "", refuse_ms=1)
    else:
        await party.choose("maria", "busy")
    mark = (await party.page(NEVER)).standing.mark
    assert mark.epoch
    assert mark.version == 1


async def test_two_teams_have_nothing_to_do_with_each_other(party: Party) -> None:
    await party.join(team="acme")
    await party.choose("maria", "busy", team="bell")
    pages = [await party.page(team=team) for team in ("acme", "bell")]
    assert pages[0].standing.mark.epoch != pages[1].standing.mark.epoch
    assert [[change.status for change in page.changes] for page in pages] == [["online"], ["offline"]]


async def test_details_of_many_come_in_bearable_parts(party: Party) -> None:
    users = await crowd(party, 2 * details.AT_ONCE + 1)
    found = await party.store.reads.details(TEAM, users)
    assert (found.standing.mark.version, found.idle_timeout_ms, found.grace_ms) == (len(users), IDLE_MS, GRACE_MS)
    assert [(each.user, each.status) for each in found.users] == [(user, "online") for user in users]


async def test_details_of_nobody_still_tell_where_the_team_stands(party: Party) -> None:
    await party.join()
    found = await party.store.reads.details(TEAM, [])
    assert (found.standing.mark.version, found.users) == (1, [])


async def test_who_was_never_seen_is_offline_and_the_rest_is_null(party: Party) -> None:
    assert await party.detail("juan") == UserDetail("juan", "offline")


async def test_the_earlier_of_two_deadlines_is_what_comes_next(party: Party, clock: Clock) -> None:
    await party.join(idle_ms=IDLE_MS - GRACE_MS + 1_000)
    await party.lost_for_good()
    found = await party.detail()
    assert (found.next_change, found.next_change_at) == ("offline", clock.now_ms + GRACE_MS - 1_000)


async def test_marks_of_many_teams_are_a_few_plain_commands(party: Party) -> None:
    await party.join(team="t7")
    teams = [f"t{number}" for number in range(201)]
    calls = party.backend.calls
    found = await party.store.reads.marks(teams)
    assert party.backend.calls - calls == 2
    assert [team for team, raw in zip(teams, found, strict=True) if raw] == ["t7"]
    assert await party.store.reads.marks([]) == []


async def test_redis_tells_which_server_it_is_and_how_long_it_has_been_up(party: Party) -> None:
    found = await party.store.reads.server()
    assert (len(found.run_id), 0 <= found.uptime_s < 86_400) == (40, True)
