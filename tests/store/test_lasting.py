"""What lasts in Redis, and for how long: every key expires but configuration and the index of due teams."""

from __future__ import annotations

from collections.abc import Callable

import redis

from tests.store.support import GRACE_MS, LEASE_MS, TEAM, Clock, NewParty

REMEMBER_MS = 2_592_000_000


async def test_every_key_expires_but_settings_and_the_index(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str, keys_of: Callable[[], dict[str, str]]
) -> None:
    """Dead node ids that pile up kill presence after a week (phoenix_pubsub#179)."""
    party = await new_party()
    store = party.store
    await store.claim(restoring=True)
    await store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
    await store.join(TEAM, "juan", "s2", 1, clock.ago_s(), 0.0)
    await store.join("b", "juan", "s2", 1, clock.ago_s(), 0.0)
    await store.refuse_session("juan", "s2")
    await store.sign_out(TEAM, "juan", "s2", refuse_ms=1_000, by_admin=True)
    await store.sign_out(TEAM, "ana", "", refuse_ms=1_000, by_admin=True)
    await store.configure(TEAM, 60_000)
    await store.claim(restoring=True)
    keys = keys_of()
    assert keys == {
        "{acme}:meta": "hash",
        "{acme}:settings": "hash",
        "{acme}:changes": "zset",
        "{acme}:deadlines": "zset",
        "{acme}:user:maria": "hash",
        "{acme}:user:juan": "hash",
        "{acme}:user:ana": "hash",
        "{b}:meta": "hash",
        "{b}:changes": "zset",
        "{b}:deadlines": "zset",
        "{b}:user:juan": "hash",
        "{juan}:signed-out:s2": "string",
        "{due}:claimed": "zset",
        "{due}:clock": "hash",
        "{due}:restoring": "zset",
    }
    lasting = {key for key in keys if client.pttl(f"{key_prefix}:{key}") == -1}
    assert lasting == {"{acme}:settings", "{due}:claimed"}


async def test_a_choice_outlives_the_last_connection_by_as_long_as_it_is_remembered(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    party = await new_party()
    await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
    key = f"{key_prefix}:{{{TEAM}}}:user:maria"
    assert REMEMBER_MS + LEASE_MS - 10_000 < client.pttl(key) <= REMEMBER_MS + LEASE_MS
    await party.store.leave(TEAM, "maria", "s1", 0)
    assert REMEMBER_MS + GRACE_MS - 10_000 < client.pttl(key) <= REMEMBER_MS + GRACE_MS
    # The team outlives everyone in it.
    assert client.pttl(f"{key_prefix}:{{{TEAM}}}:meta") > REMEMBER_MS + LEASE_MS


async def test_leases_and_refusals_that_are_over_do_not_pile_up(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    for number in range(3):
        party = await new_party(f"w{number}")
        await party.store.claim()
        await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
        await party.store.sign_out(TEAM, "maria", f"other-{number}", refuse_ms=1_000)
        for _ in range(LEASE_MS // 1_000):
            clock.move(1_000)
            await party.store.claim(teams=0)
    await party.store.sweep(TEAM)
    fields = client.hkeys(f"{key_prefix}:{{{TEAM}}}:user:maria")
    assert [field for field in fields if str(field).startswith(("lease:", "out:"))] == []


async def test_a_team_that_nobody_is_in_leaves_the_index(
    new_party: NewParty, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    party = await new_party()
    await party.store.join(TEAM, "maria", "s1", 1, clock.ago_s(), 0.0)
    claim = await party.store.claim()
    await party.store.reschedule(TEAM, claim.claimed_until, None)
    assert client.exists(f"{key_prefix}:{{due}}:teams", f"{key_prefix}:{{due}}:claimed") == 0
