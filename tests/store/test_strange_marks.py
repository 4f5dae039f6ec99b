"""Something else under a team's mark: to everybody the team is not there, and nobody falls over it."""

from __future__ import annotations

import pytest
import redis

from presence_server.core.roster import NO_MARK
from presence_server.store.types import standing_of
from tests.store.support import TEAM, Clock, Party


@pytest.mark.parametrize("raw", [b"", None, b"foo", b"{}", b"[]", b"7", b'["k",1]', b'["k","x","t",0,0,-1,0,0]'])
def test_it_is_no_team(raw: bytes | None) -> None:
    assert standing_of(raw).mark == NO_MARK


async def test_a_look_at_it_finds_nothing_due_and_a_write_makes_it_anew(
    party: Party, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    await party.join()
    client.set(f"{key_prefix}:{{{TEAM}}}:mark", "foo")
    clock.move(1_000)
    client.zadd(f"{key_prefix}:{{due}}:teams", {TEAM: 0})
    assert await party.sweep() == [TEAM]
    await party.choose("maria", "busy")
    assert (await party.standing()).mark.epoch
