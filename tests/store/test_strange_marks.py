"""Something else under a team's mark: to everybody the team is not there, and nobody falls over it."""

from __future__ import annotations

from typing import cast

import orjson
import pytest
import redis

from presence_server.core.roster import NO_MARK
from presence_server.store.types import standing_of
from tests.store.support import TEAM, Clock, Party

GOOD = ["k", 1, "t", 0, 0, -1, 0, 0, "w1", 1, 0]
DOCTORED = [
    orjson.dumps([*GOOD[:at], wrong, *GOOD[at + 1 :]])
    for at, value in enumerate(GOOD)
    for wrong in cast("tuple[object, ...]", (7 if isinstance(value, str) else "x", None, []))
]


def test_a_whole_one_is_a_team() -> None:
    standing = standing_of(orjson.dumps(GOOD))
    assert (standing.mark, standing.fences) == (("k", 1, "t"), {"w1": (1, 0)})


@pytest.mark.parametrize("raw", [b"", None, b"foo", b"{}", b"[]", b"7", b'["k",1]', *DOCTORED])
def test_it_is_no_team(raw: bytes | None) -> None:
    assert standing_of(raw).mark == NO_MARK


@pytest.mark.parametrize("raw", ["foo", '["e",1,"t",0,"x",-1,0,0]', '["e",1,"t",0,0,-1,0,null]'])
async def test_a_look_at_it_finds_nothing_due_and_a_write_makes_it_anew(
    raw: str, party: Party, clock: Clock, client: redis.Redis, key_prefix: str
) -> None:
    await party.join()
    client.set(f"{key_prefix}:{{{TEAM}}}:mark", raw)
    clock.move(1_000)
    client.zadd(f"{key_prefix}:{{due}}:teams", {TEAM: 0})
    assert await party.sweep() == [TEAM]
    await party.choose("maria", "busy")
    assert (await party.standing()).mark.epoch
