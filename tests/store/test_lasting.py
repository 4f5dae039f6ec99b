"""What lasts in Redis, and for how long: who is held has no TTL, and everything else expires but configuration."""

from __future__ import annotations

from collections.abc import Callable

import redis

from presence_server.store.operations.configure import KEEP_GRACE
from presence_server.store.scripts import RETAIN_MS
from tests.store.support import GRACE_MS, LEASE_MS, REMEMBER_MS, TEAM, Clock, NewParty, Party, pass_time

KeysOf = Callable[[], dict[str, str]]


async def test_every_key_by_its_type(party: Party, keys_of: KeysOf, client: redis.Redis, key_prefix: str) -> None:
    await party.beat(restoring=True)
    await party.join("maria")
    await party.join("juan", "s2")
    await party.join("juan", "s2", team="b")
    await party.store.refuse_session("juan", "s2")
    await party.log_out("juan", "s2")
    await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    await party.flush()
    keys = keys_of()
    assert keys == {
        "{acme}:mark": "string",
        "{acme}:settings": "hash",
        "{acme}:changes": "zset",
        "{acme}:active": "zset",
        "{acme}:ends": "zset",
        "{acme}:held:w1": "zset",
        "{acme}:user:maria": "string",
        "{acme}:user:juan": "string",
        "{acme}:out:juan:s2": "string",
        "{b}:mark": "string",
        "{b}:changes": "zset",
        "{b}:active": "zset",
        "{b}:held:w1": "zset",
        "{b}:user:juan": "string",
        "{juan}:signed-out:s2": "string",
        "{due}:teams": "zset",
        "{due}:workers": "zset",
        "{due}:of:w1": "set",
        "{due}:numbers": "hash",
        "{due}:clock": "hash",
        "{due}:restoring": "zset",
    }
    lasting = {key for key in keys if client.pttl(f"{key_prefix}:{key}") == -1}
    # What holds somebody here is moved by nobody while he does nothing: it lasts until a sweep or a leave ends it.
    assert lasting == {
        "{acme}:mark",
        "{acme}:settings",
        "{acme}:changes",
        "{acme}:active",
        "{acme}:ends",
        "{acme}:held:w1",
        "{acme}:user:maria",
        "{b}:mark",
        "{b}:changes",
        "{b}:active",
        "{b}:held:w1",
        "{b}:user:juan",
        "{due}:teams",
        "{due}:workers",
        "{due}:of:w1",
        "{due}:numbers",
    }


async def test_a_choice_outlives_the_last_connection_by_as_long_as_it_is_remembered(
    party: Party, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    key = f"{key_prefix}:{{{TEAM}}}:user:maria"
    await party.join()
    assert client.pttl(key) == -1
    await party.lost_for_good()
    assert client.pttl(key) == -1
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    assert REMEMBER_MS - 10_000 < client.pttl(key) <= REMEMBER_MS
    await party.join()
    assert client.pttl(key) == -1
    await party.log_out()
    assert REMEMBER_MS - 10_000 < client.pttl(key) <= REMEMBER_MS


async def test_a_team_outlives_everyone_in_it(party: Party, clock: Clock, client: redis.Redis, key_prefix: str) -> None:
    key = f"{key_prefix}:{{{TEAM}}}:mark"
    await party.join()
    await party.log_out()
    assert client.pttl(key) == -1
    assert await party.store.leave([TEAM]) == [TEAM]
    assert client.pttl(key) > REMEMBER_MS + LEASE_MS


async def test_of_a_team_that_nobody_is_in_only_memories_stay(
    party: Party, clock: Clock, keys_of: KeysOf, client: redis.Redis, key_prefix: str
) -> None:
    """Dead node ids that pile up kill presence after a week (phoenix_pubsub#179)."""
    await party.join()
    await party.log_out()
    await party.sweep()
    assert await party.store.leave([TEAM]) == [TEAM]
    await pass_time(clock, LEASE_MS, party)
    clock.move(RETAIN_MS)
    await party.sweep()
    await pass_time(clock, LEASE_MS, party)
    await party.sweep()
    keys = keys_of()
    assert keys.keys() == {
        "{acme}:mark",
        "{acme}:user:maria",
        "{acme}:out:maria:s1",
        "{due}:workers",
        "{due}:numbers",
        "{due}:clock",
    }
    assert all(client.pttl(f"{key_prefix}:{key}") > 0 for key in keys if not key.startswith("{due}"))
    # Whoever was there long ago is remembered no more.
    assert (await party.standing()).fences == {}


async def test_workers_that_died_leave_nothing_behind(
    new_party: NewParty, clock: Clock, keys_of: KeysOf, client: redis.Redis, key_prefix: str
) -> None:
    alive = await new_party("alive")
    for number in range(3):
        dead = await new_party(f"w{number}")
        await dead.join()
        await pass_time(clock, LEASE_MS, alive)
        await alive.sweep()
    await alive.sweep()
    assert [key for key in keys_of() if "w0" in key or "w1" in key or "w2" in key] == []
    assert client.zrange(f"{key_prefix}:{{due}}:workers", 0, -1) == ["alive"]
    assert client.hkeys(f"{key_prefix}:{{due}}:numbers") == []
    assert not client.exists(
        f"{key_prefix}:{{due}}:dead", f"{key_prefix}:{{due}}:lifted", f"{key_prefix}:{{due}}:burials"
    )
    assert (await alive.standing()).fences == {}
    [raw] = await alive.store.link.execute([("GET", f"{key_prefix}:{{{TEAM}}}:user:maria")])
    assert b"w0" not in raw
