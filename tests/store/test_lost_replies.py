"""Replies that are lost, and leases that end meanwhile: each write is done once, or it is told that nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from typing import Any

import pytest

from presence_server import errors
from presence_server.settings import Settings
from presence_server.store.operations.configure import KEEP_GRACE
from tests.store.listening import Ear
from tests.store.support import IDLE_MS, TEAM, Clock, Party, becomes_true, pass_time
from tests.support.proxy import RedisProxy
from tests.support.valkey import Valkey

# Shorter than anybody's patience.
LEASE_MS = 6_000
GRACE_MS = 4_000


class Line:
    """A worker behind a line that can be cut, another that has none, and what they say to their Redis.

    Attributes:
        party: the one behind the line.
        other: the one that is always within reach.
    """

    def __init__(self, proxy: RedisProxy, party: Party, other: Party, ear: Ear) -> None:
        self.proxy = proxy
        self.party = party
        self.other = other
        self.ear = ear

    async def lose_the_reply(self, asking: Callable[[], Any]) -> Any:
        """Something is asked for and done, and its reply does not come."""
        # What still follows the last request must not be what is lost.
        await self.party.flush()
        downs = len(self.party.downs)
        self.proxy.swallow_a_reply()
        asked = asking()
        await becomes_true(lambda: len(self.party.downs) > downs)
        return asked

    async def lose_the_request(self, asking: Callable[[], Any]) -> Any:
        """Something is asked for, and does not get through."""
        downs = len(self.party.downs)
        self.proxy.cut()
        asked = asking()
        await becomes_true(lambda: len(self.party.downs) > downs)
        self.proxy.mend()
        return asked

    async def lapse(self, clock: Clock, *, buried: bool) -> None:
        """The worker's lease ends; it goes on under another name."""
        await pass_time(clock, LEASE_MS, self.other)
        if buried:
            await self.other.sweep()
        assert not (await self.party.beat()).alive
        assert (await self.party.beat()).alive


@pytest.fixture
async def line(
    clock: Clock, new_valkey: Callable[..., Valkey], new_proxy: Callable[[Valkey], RedisProxy]
) -> AsyncIterator[Line]:
    """A worker behind a line, with a connection of maria in a team."""
    server = new_valkey(tcp=True)
    proxy = new_proxy(server)
    settings = Settings(
        key_prefix="test-", idle_timeout_ms=IDLE_MS, lease_ttl_ms=LEASE_MS, disconnect_grace_ms=GRACE_MS
    )
    with closing(server.client()) as client, closing(Ear(client, f"test-:{{{TEAM}}}:feed:0")) as ear:
        clock.follow(client)
        async with AsyncExitStack() as stack:
            party = await stack.enter_async_context(Party(proxy.url, settings, "w1", clock).running())
            other = await stack.enter_async_context(Party(server.url, settings, "w2", clock).running())
            clock.move(1_000)
            await party.beat()
            await party.join()
            ear.heard()
            yield Line(proxy, party, other, ear)


async def soon(asked: asyncio.Future[Any]) -> Any:
    async with asyncio.timeout(5.0):
        return await asked


async def test_a_join_is_told_again_under_its_number(line: Line) -> None:
    party = line.party
    told = await line.lose_the_reply(lambda: party.store.tell(party.connect("juan")))
    assert [len(message["changes"]) for message in line.ear.heard()] == [1]
    assert not told.done()
    party.store.resume()
    mark, chosen = await soon(told)
    assert (chosen, mark.version) == ("online", 2)
    assert line.ear.heard() == []
    assert await party.join("ana") == "online"


async def test_what_came_after_it_waits_for_it(line: Line) -> None:
    party = line.party
    told = await line.lose_the_reply(lambda: party.store.tell(party.connect("juan")))
    party.lose("juan")
    choice = party.store.choose(TEAM, "juan", "busy", "juan")
    party.store.resume()
    await soon(told)
    await soon(choice)
    await party.flush()
    messages = line.ear.heard()
    assert [change[3] for message in messages for change in message["changes"]] == ["online", "busy"]
    assert (await party.detail("juan")).connections == 0


@pytest.mark.parametrize("what", ["choose", "sign_out", "configure"])
async def test_what_was_done_is_not_done_again(line: Line, what: str) -> None:
    store = line.party.store
    asking: dict[str, Callable[[], Any]] = {
        "choose": lambda: store.choose(TEAM, "maria", "busy", "maria"),
        "sign_out": lambda: store.sign_out(TEAM, "maria", "", refuse_ms=1_000, by="ana"),
        "configure": lambda: store.configure(TEAM, 60_000, KEEP_GRACE),
    }
    asked = await line.lose_the_reply(asking[what])
    assert len(line.ear.heard()) == 1
    version = (await line.other.page()).standing.mark.version
    store.resume()
    reply = await soon(asked)
    assert (reply.mark.version, reply.changed) == (version, 0)
    assert line.ear.heard() == []


async def test_a_number_that_did_not_get_through_is_done_then(line: Line) -> None:
    party = line.party
    choice = await line.lose_the_request(lambda: party.store.choose(TEAM, "maria", "busy", "maria"))
    assert line.ear.heard() == []
    party.store.resume()
    assert (await soon(choice)).changed == 1


# --- the lease ended meanwhile ----------------------------------------------------------------------------------------


async def test_what_was_done_is_still_known_by_its_number(line: Line, clock: Clock) -> None:
    party = line.party
    choice = await line.lose_the_reply(lambda: party.store.choose(TEAM, "maria", "busy", "maria"))
    await line.lapse(clock, buried=False)
    party.store.resume()
    assert (await soon(choice)).changed == 0
    assert await line.other.status() == ("busy", "chosen")


async def test_what_was_not_is_done_under_the_new_name(line: Line, clock: Clock) -> None:
    party = line.party
    choice = await line.lose_the_request(lambda: party.store.choose(TEAM, "maria", "busy", "maria"))
    await line.lapse(clock, buried=False)
    party.store.resume()
    assert (await soon(choice)).changed == 1
    await party.flush()
    await line.other.sweep()
    assert (await line.other.detail()).connections == 1


async def test_after_the_burial_nobody_can_tell(line: Line, clock: Clock) -> None:
    party = line.party
    choice = await line.lose_the_reply(lambda: party.store.choose(TEAM, "maria", "busy", "maria"))
    await line.lapse(clock, buried=True)
    party.store.resume()
    with pytest.raises(errors.Unavailable, match="whether this was carried out cannot be told"):
        await soon(choice)
    # What can be told anew is.
    await party.flush()
    assert (await line.other.detail()).connections == 1
    await party.choose("maria", "online")


async def test_a_hold_is_told_anew_whatever_became_of_it(line: Line, clock: Clock) -> None:
    party = line.party
    told = await line.lose_the_reply(lambda: party.store.tell(party.connect("juan")))
    await line.lapse(clock, buried=True)
    party.store.resume()
    _, chosen = await soon(told)
    assert chosen == "online"
    await party.flush()
    assert (await line.other.detail("juan")).connections == 1
    assert (await line.other.standing()).fences.keys() == {party.name}


async def test_one_that_was_done_under_the_dead_name_is_told_under_the_new_one(line: Line, clock: Clock) -> None:
    party = line.party
    told = await line.lose_the_reply(lambda: party.store.tell(party.connect("juan")))
    await line.lapse(clock, buried=False)
    party.store.resume()
    await soon(told)
    await party.flush()
    await line.other.sweep()
    found = await line.other.detail("juan")
    assert (found.status, found.connections) == ("online", 1)


async def test_a_sign_out_of_one_session_may_be_done_twice(line: Line, clock: Clock) -> None:
    party = line.party
    ended = await line.lose_the_reply(lambda: party.store.sign_out(TEAM, "maria", "s1", refuse_ms=60_000))
    await line.lapse(clock, buried=True)
    party.store.resume()
    await soon(ended)
    assert (await line.other.detail()).connections == 0


async def test_a_word_that_comes_too_late_waits_for_the_next_beat(line: Line, clock: Clock) -> None:
    """The worker believes that its lease lasts, and the team's clock says otherwise."""
    party = line.party
    party.store.lease.until_ms = clock.now_ms + LEASE_MS
    known = party.store.lease.until_ms
    clock.move(2_000)
    party.store._caller._ahead_ms -= LEASE_MS
    clock.move(LEASE_MS)
    choice = party.store.choose(TEAM, "maria", "busy", "maria")
    await becomes_true(lambda: not party.store.lease._confirmed.is_set())
    assert clock.now_ms >= known
    assert not choice.done()
    assert (await party.beat()).alive
    assert (await soon(choice)).changed == 1
