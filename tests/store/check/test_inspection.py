"""What Redis holds, beside what the contract allows: each fault is made by hand, and told in a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import orjson
import pytest
import redis

from presence_server.address import parse
from presence_server.errors import Unavailable
from presence_server.settings import Settings
from presence_server.store.check import inspection, servers
from presence_server.store.check.inspection import Inspection
from presence_server.store.check.servers import Servers
from presence_server.store.check.survey import Survey, survey
from presence_server.store.keys import Keys
from tests.store.support import TEAM, Party, becomes_true
from tests.support.valkey import Valkey

TIMEOUT_MS = 60_000


class Office:
    """A worker with Maria in a team, by the real clock; and hands that meddle with what is stored."""

    def __init__(self, url: str, prefix: str, client: redis.Redis, servers: Servers) -> None:
        self.settings = Settings(redis_url=url, key_prefix=prefix, idle_timeout_ms=TIMEOUT_MS)
        self.party = Party(url, self.settings, "w1")
        self.client = client
        self.keys = Keys(prefix, 0)
        self.inspection = Inspection(servers, self.settings, lambda _team: self.keys)
        self.base = self.keys.team(TEAM)

    def ago_ms(self, ms: int) -> int:
        seconds, microseconds = self.client.time()
        return int(seconds * 1000 + microseconds // 1000) - ms

    def set_gaps(self, *gaps: tuple[int, int]) -> None:
        self.client.hset(f"{self.keys.due}:clock", "gaps", orjson.dumps(gaps).decode())

    async def faults(self) -> list[str]:
        """What is found while the worker beats."""
        await self.party.beat()
        return [fault.text for fault in await self.inspection.faults()]


@pytest.fixture
async def office(
    shared_valkey: Valkey, client: redis.Redis, key_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    monkeypatch.setattr(inspection, "AGAIN_S", 0.01)
    async with AsyncExitStack() as stack:
        reading = await stack.enter_async_context(Servers(await survey(parse(shared_valkey.url))))
        office = Office(shared_valkey.url, f"{key_prefix}-[*?]", client, reading)
        await stack.enter_async_context(office.party.running())
        await office.party.join()
        # An index that is new follows an interval in which nobody swept.
        office.set_gaps()
        yield office


class TestWhatIsRight:
    async def test_nothing_is_told_of_it(self, office: Office) -> None:
        await asyncio.gather(*[office.party.join(team=f"team-{number}") for number in range(50)])
        assert await office.faults() == []
        assert office.inspection.teams == 51
        assert office.inspection.at_rest == 0

    async def test_it_is_all_found_in_parts(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(servers, "_SCAN_COUNT", 1)
        await asyncio.gather(*[office.party.join(team=f"team-{number}") for number in range(50)])
        await office.faults()
        assert office.inspection.teams >= 51

    async def test_what_is_none_of_ours_is_passed_over(self, office: Office) -> None:
        office.client.set(f"{office.keys.team('a')}:user:b}}:mark", "nonsense")
        assert await office.faults() == []
        assert office.inspection.teams == 1

    async def test_what_is_under_way_passes(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inspection, "AGAIN_S", 1.0)
        of = f"{office.keys.due}:of:w1"
        office.client.srem(of, TEAM)
        looking = asyncio.create_task(office.faults())
        await becomes_true(lambda: office.inspection.teams)
        office.client.sadd(of, TEAM)
        assert await looking == []


class TestPeople:
    async def test_who_should_be_idle(self, office: Office) -> None:
        office.client.zadd(f"{office.base}:active", {"maria": office.ago_ms(TIMEOUT_MS + 5_000)})
        (told,) = await office.faults()
        assert told.startswith("team acme: maria should be offline as idle, for ")

    async def test_by_the_teams_own_timeout(self, office: Office) -> None:
        await office.party.store.configure(TEAM, 1_000, 0)
        office.client.zadd(f"{office.base}:active", {"maria": office.ago_ms(6_000)})
        (told,) = await office.faults()
        assert told.startswith("team acme: maria should be offline as idle, for ")

    async def test_not_so_if_nobody_could_have_swept(self, office: Office) -> None:
        """An instant inside a gap counts from its end, and a third of a lease is added."""
        office.client.zadd(f"{office.base}:active", {"maria": office.ago_ms(TIMEOUT_MS + 5_000)})
        office.set_gaps((office.ago_ms(60_000), office.ago_ms(50_000)), (office.ago_ms(8_000), office.ago_ms(3_000)))
        assert await office.faults() == []

    async def test_whose_grace_is_over(self, office: Office) -> None:
        await office.party.lost_for_good()
        office.client.zadd(f"{office.base}:ends", {"maria": office.ago_ms(5_000)})
        (told,) = await office.faults()
        assert told.startswith("team acme: maria should be offline since all connections are lost, for ")
        office.set_gaps((office.ago_ms(8_000), office.ago_ms(3_000)))
        assert await office.faults() == []

    async def test_to_forget_who_is_offline_is_not_urgent(self, office: Office) -> None:
        await office.party.log_out()
        office.client.zadd(f"{office.base}:ends", {"maria": office.ago_ms(5_000)})
        assert await office.faults() == []


class TestWorkers:
    async def test_one_without_a_lease_is_a_ghost(self, office: Office) -> None:
        await office.party.join("juan")
        office.client.zrem(f"{office.keys.due}:workers", "w1")
        told = [fault.text for fault in await office.inspection.faults()]
        text = "2 held by worker w1, which has no lease, and nobody was told to take them away"
        assert told == [f"team acme: {text}"]

    async def test_not_so_while_its_burial_is_ordered(self, office: Office) -> None:
        due = office.keys.due
        office.client.zrem(f"{due}:workers", "w1")
        office.client.zadd(f"{due}:dead", {"w1": office.ago_ms(0)})
        assert await office.inspection.faults() == []
        office.client.zrem(f"{due}:dead", "w1")
        office.client.hset(f"{due}:burials", TEAM, f'[1,"w1",-1,{office.ago_ms(0)}]')
        assert await office.inspection.faults() == []

    async def test_a_burial_that_is_overdue(self, office: Office) -> None:
        office.client.hset(f"{office.keys.due}:burials", TEAM, f'[1,"w9",-1,{office.ago_ms(60_000)}]')
        (told,) = await office.faults()
        assert told.startswith("team acme: what dead worker w9 held should have been taken away ")

    async def test_one_that_is_not_on_record(self, office: Office) -> None:
        office.client.srem(f"{office.keys.due}:of:w1", TEAM)
        (told,) = await office.faults()
        text = "worker w1 writes to it, and is not on record for it: its people would outlive it"
        assert told == f"team acme: {text}"

    async def test_without_any_nothing_can_be_in_time(self, office: Office) -> None:
        """Not even if the index is gone."""
        office.client.zadd(f"{office.base}:active", {"maria": office.ago_ms(TIMEOUT_MS + 5_000)})
        office.client.hset(f"{office.keys.due}:burials", TEAM, f'[1,"w9",-1,{office.ago_ms(60_000)}]')
        office.client.hset(f"{office.keys.due}:clock", "swept", office.ago_ms(10_000))
        assert await office.inspection.faults() == []
        assert office.inspection.at_rest == 1
        office.client.delete(f"{office.keys.due}:clock")
        assert await office.inspection.faults() == []


class TestRedis:
    async def test_what_cannot_be_read_is_told_and_the_rest_looked_at(self, office: Office) -> None:
        office.client.set(office.keys.mark("globex"), "nonsense")
        strange = office.keys.mark("§").encode().replace("§".encode(), b"\xff")
        office.client.set(strange, "x")
        assert [text.partition(": ")[0] for text in await office.faults()] == [f"key {office.keys.mark('globex')}"]
        assert office.inspection.teams == 1
        office.client.hset(f"{office.keys.due}:burials", TEAM, "nonsense")
        assert f"key {office.keys.due}" in [text.partition(": ")[0] for text in await office.faults()]

    async def test_something_else_under_a_key_is_told(self, office: Office) -> None:
        for suffix in ("active", "ends", "held:w1"):
            office.client.set(f"{office.base}:{suffix}", "something else")
        told = await office.faults()
        assert [text.partition(": ")[0] for text in told] == [
            f"key {office.base}:{each}" for each in ("active", "ends", "held:w1")
        ]
        assert all("WRONGTYPE" in text for text in told)

    async def test_many_faults_are_not_all_looked_for(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inspection, "_MOST", 1)
        monkeypatch.setattr(servers, "_SCAN_COUNT", 1)
        await asyncio.gather(*[office.party.join(team=f"team-{number}") for number in range(50)])
        office.client.delete(f"{office.keys.due}:of:w1")
        assert 1 <= len(await office.faults()) < 51

    async def test_a_right_that_is_missing_is_told(self, office: Office, new_valkey: Callable[..., Valkey]) -> None:
        valkey = new_valkey(tcp=False)
        for right, told in (("-zcard", "allowed to read"), ("-zrange", "allowed to read"), ("-scan", "list its keys")):
            valkey.says("ACL SETUSER", "presence", right)
            valkey.says("SET", office.keys.mark(TEAM), '["e",1,"t",0,0,-1,0,0,"w1",1,0]')
            async with Servers(await survey(parse(valkey.url))) as reading:
                with pytest.raises(Unavailable, match=told):
                    await Inspection(reading, office.settings, lambda _team: office.keys).faults()

    async def test_one_that_is_gone_is_told(self, office: Office, new_valkey: Callable[..., Valkey]) -> None:
        valkey = new_valkey(tcp=False)
        found = await survey(parse(valkey.url))
        valkey.kill()
        async with Servers(found) as reading:
            with pytest.raises(Unavailable, match="Expected Redis to list its keys"):
                await Inspection(reading, office.settings, lambda _team: office.keys).faults()
            with pytest.raises(Unavailable, match="Expected Redis to be read"):
                await reading.read([("key", ("GET", "key"))])

    async def test_a_slot_that_nobody_serves_is_told(self) -> None:
        async with Servers(Survey(())) as reading:
            with pytest.raises(Unavailable, match="Expected a server for the slot of 'key'"):
                await reading.read([("key", ("GET", "key"))])
