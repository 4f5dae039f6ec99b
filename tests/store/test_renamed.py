"""A worker that takes another name in the middle of something: what was under way is done, and once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from presence_server import errors
from tests.store.support import LEASE_MS, TEAM, Clock, NewParty, Party, pass_time


@pytest.fixture
def lapse_after(party: Party, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the party lapse, and beat, when the next call of a script has been answered."""

    def arrange(script: str) -> None:
        sha = party.store._caller._scripts[script].sha
        execute_each = party.store.link.execute_each

        async def execute(commands: Sequence[Any]) -> list[Any]:
            replies = await execute_each(commands)
            if any(sha in command for command in commands):
                monkeypatch.undo()
                party.store._lapse()
                await party.beat()
            return replies

        monkeypatch.setattr(party.store.link, "execute_each", execute)

    return arrange


@pytest.mark.parametrize("script", ["hold", "drop"])
async def test_while_it_tells_everything_anew(party: Party, lapse_after: Any, script: str) -> None:
    await party.join("maria")
    await party.join("juan")
    lapse_after(script)
    party.store.retell(TEAM)
    await party.flush()
    assert party.store.lease.lapses == 1
    page = await party.page()
    assert page.held == {("maria", "s1"), ("juan", "s1")}
    assert party.store.acknowledged(TEAM) == page.standing.fences[party.name].last


async def test_before_what_has_a_number_was_sent(new_party: NewParty, clock: Clock) -> None:
    party, other = await new_party("w1", lease_ttl_ms=6_000), await new_party("w2", lease_ttl_ms=6_000)
    await party.join()
    await pass_time(clock, 6_000, other)
    choice = party.store.choose(TEAM, "maria", "busy", "maria")
    # It waits for the lease to be confirmed.
    known = party.store.is_signed_out("maria", "s1")
    assert await asyncio.wait_for(known, 5.0) == 0
    assert not (await party.beat()).alive
    assert (await party.beat()).alive
    assert (await asyncio.wait_for(choice, 5.0)).changed == 1
    await party.flush()
    assert party.name in (await party.standing()).fences


async def test_while_two_beats_are_under_way_it_is_once(new_party: NewParty, clock: Clock) -> None:
    party, other = await new_party("w1"), await new_party("w2")
    await pass_time(clock, LEASE_MS, other)
    claims = await asyncio.gather(party.beat(), party.beat())
    assert [claim.alive for claim in claims] == [False, False]
    assert party.store.lease.lapses == 1


async def test_a_connection_that_ended_before_it_was_told_is_not(party: Party) -> None:
    await party.join("juan")
    told = party.store.tell(party.connect("maria"))
    party.lose("maria")
    with pytest.raises(errors.Unavailable, match="got one that has ended"):
        await asyncio.wait_for(told, 5.0)
    await party.flush()
    assert [change.user for change in (await party.page()).changes] == ["juan"]
