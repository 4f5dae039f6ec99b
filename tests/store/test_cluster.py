"""Every script on a Valkey in cluster mode: it touches the slot of its key and no other."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import redis
from redis.crc import key_slot

from presence_server.core.roster import Change, Entry
from presence_server.settings import Settings
from presence_server.store.operations.configure import KEEP_GRACE
from presence_server.store.scripts import Scripts
from presence_server.store.types import Fence
from tests.store.support import Party
from tests.support.valkey import Valkey

TEAMS = ("acme", "a:b@c+d.e-f")
WHOLE_ALPHABET = "_AZaz09.:@+-"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Valkey]:
    """A cluster of one."""
    server = Valkey(tcp=False)
    try:
        server.command += ["--cluster-enabled", "yes"]
        server.start()
        with closing(server.client()) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)  # type: ignore[no-untyped-call]
            server.await_sync(lambda: _serves(client))
        yield server
    finally:
        server.close()


def _serves(client: redis.Redis) -> bool:
    try:
        client.get("key")
    except redis.exceptions.ClusterDownError:
        return False
    return True


@pytest.fixture
def admin(cluster: Valkey) -> Iterator[redis.Redis]:
    with closing(cluster.client()) as client:
        yield client


class Touched:
    """Which keys scripts touch, as the server sees it.

    Attributes:
        by_key: all that was touched by scripts on each key.
        run: the SHA-1 of every script that ran.
    """

    _NO_KEYS = frozenset({"time", "publish"})

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.by_key: dict[str, set[str]] = defaultdict(set)
        self.run: set[str] = set()

    def read(self, monitor: Callable[[], dict[str, str]]) -> None:
        """Take in what happened up to now."""
        self._client.echo("end")
        key = ""
        while (seen := monitor())["command"] != "ECHO end":
            name, *arguments = seen["command"].split(" ")
            if name.upper() == "EVALSHA":
                sha, _, key = arguments[:3]
                self.run.add(sha)
            elif seen["client_type"] == "lua" and name.lower() not in self._NO_KEYS:
                self.by_key[key].add(arguments[0])


async def all_operations(party: Party, team: str) -> None:
    """Everything that a store can do to a team, as workers do it."""
    store, repairs = party.store, party.store.repairs
    await asyncio.gather(
        *(party.join(f"user-{number}", team=team, issued_at_s=time.time()) for number in range(60)),
        party.join(WHOLE_ALPHABET, WHOLE_ALPHABET, team=team, issued_at_s=time.time()),
    )
    assert (await party.choose("user-1", "busy", team=team)).changed == 1
    await party.choose("never-seen", "busy", by="ana", team=team)
    await party.lost_for_good("user-2", team=team)
    await party.log_out("user-3", team=team)
    await store.sign_out(team, "user-4", "", refuse_ms=1_000, by="ana")
    now_s = party.now_s()
    assert await repairs.tell_input([(team, [("user-5", now_s)])]) == []
    await repairs.touch(team, [("user-5", now_s)])
    assert (await store.configure(team, 1_000, KEEP_GRACE)).idle_timeout_ms == 1_000
    cursor = await repairs.realign(team, 0)
    while cursor:
        cursor = await repairs.realign(team, cursor)
    store.retell(team)
    await party.flush()
    page = await party.page(team=team)
    assert {change.status for change in page.changes} >= {"online", "busy", "offline"}
    details = await store.reads.details(team, [f"user-{number}" for number in range(60)])
    assert details.users[1].chosen == "busy"
    await store.refuse_session("user-3", "s1")
    assert await store.is_signed_out("user-3", "s1") == 1
    assert await store.tell_workers({"signed_out": ["user-3", "s1"]}) == 0
    changes = [Change(user, 7, "online", 1_763_800_000_000, "signed_in", "online") for user in ("user-6", "back")]
    written_back = [(change.user, Entry(change)) for change in changes]
    restored = await repairs.restore(
        team, written_back, page.standing.mark.version, idle_timeout_ms=1_000, grace_ms=20_000
    )
    assert restored.mark.version > page.standing.mark.version
    assert (await repairs.new_epoch(team, page.standing.mark.epoch, 900)).mark.version > 900


async def sweep_until_idle(party: Party, teams: tuple[str, ...]) -> None:
    """Sweep until everybody's second of activity is over in every team."""
    async with asyncio.timeout(20):
        for team in teams:
            party.store.vigil.look_closely(team, (await party.standing(team))._replace(fences={"ghost": Fence(1, 0)}))
            while {change.status for change in (await party.page(team=team)).changes} != {"offline"}:
                await party.sweep()
                await asyncio.sleep(0.1)


async def test_every_script_keeps_to_the_slot_of_its_key(
    cluster: Valkey, admin: redis.Redis, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(redis_url=cluster.url, key_prefix=key_prefix)
    touched = Touched(admin)
    with admin.monitor() as monitor:  # type: ignore[no-untyped-call]
        async with Party(cluster.url, settings).running() as party:
            for team in TEAMS:
                await all_operations(party, team)
            await sweep_until_idle(party, TEAMS)
            for user, session in [key[1:] for key in party.holds if key[0] == TEAMS[0]]:
                party.lose(user, session, team=TEAMS[0])
            await party.flush()
            assert await party.store.leave([TEAMS[0]]) == [TEAMS[0]]
        touched.read(monitor.next_command)

    assert not caplog.records, "nothing was refused"
    assert not party.downs
    assert touched.run == {script.sha for script in Scripts(settings, ":feed:0").all()}
    assert set(touched.by_key) == {f"{key_prefix}:{{{name}}}" for name in (*TEAMS, "due")}
    for key, keys in touched.by_key.items():
        assert {key_slot(each.encode()) for each in keys} == {key_slot(key.encode())}, key
        assert all(each.startswith(f"{key}:") for each in keys), key

    stored = list(admin.scan_iter(f"{key_prefix}:*", count=1_000))
    ours = {key_slot(name.encode()) for name in (*TEAMS, "due", "user-3")}
    assert {key_slot(each.encode()) for each in stored} == ours


async def test_a_script_that_strays_would_be_found(cluster: Valkey, admin: redis.Redis, key_prefix: str) -> None:
    """The one above proves nothing unless it sees what scripts touch beside the keys they are given."""
    touched = Touched(admin)
    with admin.monitor() as monitor:  # type: ignore[no-untyped-call]
        stray = admin.script_load("redis.call('SET', KEYS[1], 1) redis.call('SET', ARGV[1], 1) redis.call('TIME')")
        with closing(cluster.client()) as client:
            client.evalsha(stray, 1, f"{key_prefix}:{{acme}}", f"{key_prefix}:{{globex}}")
        touched.read(monitor.next_command)
    assert touched.by_key == {f"{key_prefix}:{{acme}}": {f"{key_prefix}:{{acme}}", f"{key_prefix}:{{globex}}"}}
