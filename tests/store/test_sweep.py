"""Sweeps: who is due is found in time, and no one earlier (rule 10)."""

from __future__ import annotations

import asyncio

import pytest
import redis

from presence_server.live.sweeper import BROKEN_MS
from presence_server.settings import Settings
from presence_server.store.operations import sweep
from presence_server.store.scripts import RETAIN_MS
from presence_server.store.types import Due
from tests.store.support import GRACE_MS, IDLE_MS, LEASE_MS, TEAM, Clock, NewParty, Party, pass_time
from tests.support.valkey import Valkey


async def test_a_sweep_finds_who_is_due_and_no_one_earlier(party: Party, clock: Clock) -> None:
    await party.join()
    await party.join("juan")
    await party.lost_for_good()
    await pass_time(clock, GRACE_MS - 125, party)
    await party.sweep()
    assert (await party.detail()).status == "online"
    clock.move(250)
    assert await party.sweep() == [TEAM]
    assert await party.status() == ("offline", "disconnected")
    assert await party.status("juan") == ("online", "signed_in")
    lag = party.counters.sweep_lag
    assert (sum(lag.counts), lag.total) == (1, 0.125)


async def test_where_nothing_is_due_no_script_runs(party: Party, clock: Clock) -> None:
    """Plain reads tell; idle people cost next to nothing."""
    await party.join()
    await party.join(team="bell")
    claim = await party.beat(teams=10)
    assert claim.due == ()
    clock.move(IDLE_MS)
    await party.store.repairs.tell_input([(team, [("maria", clock.now_s())]) for team in (TEAM, "bell")])
    claim = await party.beat(teams=10)
    looks = await party.store.sweeps.look(claim)
    assert {look.due.team: (look.is_due, look.next_ms) for look in looks} == {
        TEAM: (False, clock.now_ms + IDLE_MS),
        "bell": (False, clock.now_ms + IDLE_MS),
    }
    calls = party.backend.calls
    await party.sweeper.sweep(claim)
    # Three reads for each team, and one line to the index.
    assert party.backend.calls - calls == 7
    assert await party.store.sweeps.look(await party.beat()) == []


async def test_deadlines_are_not_moved_by_each_input_but_put_off_when_they_come(party: Party, clock: Clock) -> None:
    await party.join()
    await pass_time(clock, IDLE_MS - 1_000, party)
    await party.store.repairs.tell_input([(TEAM, [("maria", clock.now_s())])])
    await pass_time(clock, 1_000, party)
    assert await party.sweep() == [TEAM]
    assert (await party.detail()).status == "online"
    await pass_time(clock, IDLE_MS - 1_125, party)
    assert await party.sweep() == []
    clock.move(125)
    assert await party.sweep() == [TEAM]
    assert await party.status() == ("offline", "idle")


async def test_many_that_are_due_take_several_sweeps(party: Party, clock: Clock) -> None:
    users = [f"u{number}" for number in range(sweep.AT_ONCE + 1)]
    await asyncio.gather(*[party.join(user) for user in users])
    await pass_time(clock, IDLE_MS, party)
    team = Due(TEAM, 0, ())
    first = await party.store.sweeps.sweep(team, set_back=False)
    second = await party.store.sweeps.sweep(team, set_back=False)
    assert (first.changed, first.more, second.changed, second.more) == (sweep.AT_ONCE, True, 1, False)


async def test_the_sweeper_goes_on_until_all_are_done(party: Party, clock: Clock) -> None:
    users = [f"u{number}" for number in range(sweep.AT_ONCE + 1)]
    await asyncio.gather(*[party.join(user) for user in users])
    await pass_time(clock, IDLE_MS, party)
    assert await party.sweep() == [TEAM]
    assert {change.reason for change in (await party.page()).changes} == {"idle"}


async def test_who_has_been_offline_for_an_hour_is_forgotten_but_not_his_choice(party: Party, clock: Clock) -> None:
    await party.join()
    await party.choose("maria", "busy")
    await party.log_out()
    version = (await party.page()).standing.mark.version
    changed = (await party.page()).changes[0].version
    await party.sweep()
    clock.move(RETAIN_MS - 125)
    await party.sweep()
    assert len((await party.page()).changes) == 1
    await party.beat()
    clock.move(125)
    assert await party.sweep() == [TEAM]
    page = await party.page()
    assert (page.changes, page.standing.floor, page.standing.mark.version) == ([], changed, version)
    assert (await party.detail()).chosen == "busy"
    assert await party.join(session="s2") == "busy"
    assert [change.user for change in (await party.page(version)).changes] == ["maria"]


async def test_who_is_held_is_not_forgotten_however_long_he_idles(party: Party, clock: Clock) -> None:
    """New settings must find him."""
    await party.join(idle_ms=IDLE_MS)
    clock.move(2 * RETAIN_MS)
    await party.sweep()
    assert [change.user for change in (await party.page()).changes] == ["maria"]


async def test_a_record_that_its_ttl_has_taken_is_due_no_more(
    party: Party, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    await party.join()
    await party.lost_for_good()
    base = f"{key_prefix}:{{{TEAM}}}"
    client.delete(f"{base}:user:maria")
    await pass_time(clock, IDLE_MS, party)
    await party.sweep()
    assert client.exists(f"{base}:active", f"{base}:ends") == 0


async def test_a_team_whose_keys_are_broken_keeps_no_other_from_being_swept(
    party: Party, clock: Clock, client: redis.Redis, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    for team in (TEAM, "broken"):
        await party.join(team=team)
    key = f"{key_prefix}:{{broken}}:active"
    client.rename(key, f"{key}-kept")
    client.set(key, "not a sorted set")
    await pass_time(clock, IDLE_MS, party)
    await party.sweep()
    assert await party.status() == ("offline", "idle")
    clock.move(BROKEN_MS)
    assert await party.sweep() == ["broken"]
    assert [record.message.partition(":")[0] for record in caplog.records] == ["Redis refused the sweep of team broken"]
    client.rename(f"{key}-kept", key)
    clock.move(BROKEN_MS)
    await party.sweep()
    assert await party.status(team="broken") == ("offline", "idle")


async def test_a_mark_that_cannot_be_read_likewise(
    party: Party, clock: Clock, client: redis.Redis, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    await party.join()
    key = f"{key_prefix}:{{{TEAM}}}:user:maria"
    client.delete(key)
    client.rpush(key, "not a string")
    await pass_time(clock, IDLE_MS, party)
    await party.sweep()
    assert "WRONGTYPE" in caplog.text


async def test_a_team_that_is_gone_is_not_begun_by_a_sweep(
    party: Party, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    await party.join()
    for key in client.scan_iter(f"{key_prefix}:{{{TEAM}}}:*"):
        client.delete(key)
    clock.move(IDLE_MS)
    assert await party.sweep() == [TEAM]
    found = await party.store.sweeps.sweep(Due(TEAM, 0, ()), set_back=False)
    assert (found.changed, found.next_ms) == (0, 0)
    assert not (await party.page()).standing.mark.epoch


async def test_of_two_sweepers_one_finds_it(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    await pass_time(clock, IDLE_MS, first, second)
    assert (await second.sweep(), await first.sweep()) == ([TEAM], [])
    assert await first.status() == ("offline", "idle")


async def test_what_another_sweeper_did_between_look_and_sweep_is_done_once(new_party: NewParty, clock: Clock) -> None:
    first, second = await new_party("w1"), await new_party("w2")
    await first.join()
    await pass_time(clock, IDLE_MS, first, second)
    due = Due(TEAM, 0, ())
    both = await asyncio.gather(*[party.store.sweeps.sweep(due, set_back=False) for party in (first, second)])
    assert sorted(swept.changed for swept in both) == [0, 1]


async def test_time_is_rediss(shared_valkey: Valkey, key_prefix: str, client: redis.Redis) -> None:
    """Without the clock of the other tests: a short grace runs out, and a sweep finds it."""
    url = shared_valkey.url
    settings = Settings(redis_url=url, key_prefix=key_prefix, lease_ttl_ms=450, disconnect_grace_ms=200)
    async with Party(url, settings).running() as party:
        assert len(party.name) == 12
        seconds, microseconds = client.time()
        assert abs(party.store.now_ms() - (seconds * 1000 + microseconds // 1000)) < 1_000
        await party.join()
        party.lose()
        await party.flush()
        async with asyncio.timeout(10.0):
            while (await party.detail()).status != "offline":
                await party.sweep()
        found = await party.detail()
        assert found.reason == "disconnected"
        assert found.since is not None
        assert found.since - party.store.now_ms() <= LEASE_MS


async def test_a_look_that_finds_nothing_leaves_the_next_where_scripts_rely_on_it(
    new_party: NewParty, clock: Clock
) -> None:
    """A plain look is no sweep: until what the mark says, scripts tell the index of nothing that is due later."""
    first, second = await new_party("w1"), await new_party("w2")
    await second.join("juan")
    await pass_time(clock, IDLE_MS // 2, first, second)
    await first.join("maria")
    # Newer input, by a plain command: his deadline is later than when somebody means to look.
    assert await second.store.repairs.tell_input([(TEAM, [("juan", second.now_s())])]) == []
    await first.log_out("maria")
    await first.sweep()
    await pass_time(clock, IDLE_MS // 2 - GRACE_MS // 2, first, second)
    await second.lost_for_good("juan")
    await pass_time(clock, GRACE_MS, first, second)
    await first.sweep()
    assert await first.status("juan") == ("offline", "disconnected")
