"""Commands to Redis: replies in order, what is refused, and when Redis counts as out of reach."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing

import pytest
import redis

from presence_server.settings import Settings
from presence_server.store import connect
from presence_server.store.link import Command, Link, OutOfReach, Refused, evaluate
from presence_server.store.scripts import Script, Scripts
from tests.store.listening import blocked_clients, link_to
from tests.support.polling import becomes
from tests.support.timing import SOON_S
from tests.support.valkey import Valkey

NewValkey = Callable[..., Valkey]

SCRIPTS = Scripts(Settings(), ":feed:0")


def look_at_two(key_prefix: str) -> Command:
    """A script that has the index look at a team at instant 2."""
    return evaluate(SCRIPTS["swept"], f"{key_prefix}:{{due}}", 0, "acme", 0, 2)


@pytest.fixture
def own_valkey(new_valkey: NewValkey) -> Valkey:
    """A Valkey that the test may maltreat."""
    return new_valkey(tcp=False)


@pytest.fixture
def admin(own_valkey: Valkey) -> Iterator[redis.Redis]:
    """Maltreats it."""
    with closing(own_valkey.client()) as client:
        yield client


@pytest.fixture
async def open_link() -> AsyncIterator[Callable[[str], Link]]:
    links: list[Link] = []

    def start(url: str) -> Link:
        links.append(link_to(url))
        return links[-1]

    yield start
    for each in links:
        await each.close()


@pytest.fixture
def linked(open_link: Callable[[str], Link], shared_valkey: Valkey) -> Link:
    """A link to the Valkey of all tests."""
    return open_link(shared_valkey.admin_url)


@pytest.fixture
def own(open_link: Callable[[str], Link], own_valkey: Valkey) -> Link:
    """A link to the Valkey of this test."""
    return open_link(own_valkey.admin_url)


class TestReplies:
    async def test_they_come_in_the_order_of_the_commands(self, linked: Link, key_prefix: str) -> None:
        commands = [("SET", f"{key_prefix}:{n}", n) for n in range(50)] + [
            ("GET", f"{key_prefix}:{n}") for n in range(50)
        ]
        assert await linked.execute(commands) == [b"OK"] * 50 + [b"%d" % n for n in range(50)]

    async def test_commands_and_failures_are_counted(self, own: Link, own_valkey: Valkey) -> None:
        await own.execute([("PING",), ("PING",)])
        await own.execute([("PING",)])
        assert (own.calls, own.failures) == (3, 0)
        own_valkey.stop()
        with pytest.raises(OutOfReach):
            await own.execute([("PING",)])
        assert (own.calls, own.failures) == (4, 1)

    async def test_a_refusal_is_raised(self, linked: Link, key_prefix: str) -> None:
        with pytest.raises(Refused, match="WRONGTYPE"):
            await linked.execute([("SET", key_prefix, "text"), ("ZCARD", key_prefix), ("DEL", key_prefix)])
        assert await linked.execute([("EXISTS", key_prefix)]) == [0], "the others are carried out all the same"
        assert linked.failures == 0

    async def test_or_stands_in_the_place_of_the_reply(self, linked: Link, key_prefix: str) -> None:
        commands = [("SET", key_prefix, "text"), ("ZCARD", key_prefix), ("NONSENSE",), ("DEL", key_prefix)]
        stored, wrong_type, unknown, deleted = await linked.execute_each(commands)
        assert (stored, deleted) == (b"OK", 1)
        assert isinstance(wrong_type, Refused)
        assert isinstance(unknown, Refused)
        assert "WRONGTYPE" in str(wrong_type)
        assert "unknown command" in str(unknown)


class TestScripts:
    def test_a_script_runs_on_one_slot(self) -> None:
        command = evaluate(SCRIPTS["hold"], "presence:{acme}", "guard", "input")
        assert command == ("EVALSHA", SCRIPTS["hold"].sha, 1, "presence:{acme}", "guard", "input")

    async def test_what_redis_does_not_know_is_loaded_and_repeated(
        self, own: Link, admin: redis.Redis, key_prefix: str
    ) -> None:
        for _ in range(2):
            admin.script_flush()
            commands = [("ECHO", "before"), look_at_two(key_prefix), ("ECHO", "after"), look_at_two(key_prefix)]
            assert await own.execute(commands) == [b"before", b"ok", b"after", b"ok"]
            assert admin.zscore(f"{key_prefix}:{{due}}:teams", "acme") == 2
        every = SCRIPTS.all()
        assert admin.script_exists(*[script.sha for script in every]) == [True] * len(every)

    async def test_it_is_loaded_once(self, own: Link, key_prefix: str) -> None:
        await own.execute([look_at_two(key_prefix)])
        calls = own.calls
        await own.execute([look_at_two(key_prefix)])
        assert own.calls == calls + 1

    async def test_one_that_stays_unknown_is_refused(self, linked: Link) -> None:
        stranger = Script("stranger", "return 'nobody has loaded me'")
        with pytest.raises(Refused, match="No matching script"):
            await linked.execute([evaluate(stranger, "key")])

    async def test_a_fault_in_a_script_is_a_refusal(self, linked: Link) -> None:
        with pytest.raises(Refused, match="nonexistent global variable"):
            await linked.execute([("EVAL", "return nobody.there", 0)])


class TestOutOfReach:
    async def test_nobody_is_there(self, open_link: Callable[[str], Link], own_valkey: Valkey) -> None:
        own = open_link(own_valkey.admin_url)
        own_valkey.stop()
        with pytest.raises(OutOfReach):
            await own.execute([("PING",)])
        own_valkey.start()
        assert await own.execute([("PING",)]) == [b"PONG"]

    async def test_it_is_killed_in_between(self, own: Link, own_valkey: Valkey) -> None:
        await own.execute([("PING",)])
        waiting = asyncio.create_task(own.execute([("BLPOP", "nobody", 0)]))
        await becomes(lambda: asyncio.to_thread(blocked_clients, own_valkey), 1)
        own_valkey.kill()
        with pytest.raises(OutOfReach):
            await waiting

    async def test_it_stands_still(self, own: Link, own_valkey: Valkey) -> None:
        await own.execute([("PING",)])
        own_valkey.pause()
        try:
            async with asyncio.timeout(connect.TIMEOUT_S + SOON_S):
                with pytest.raises(OutOfReach):
                    await own.execute([("PING",)])
        finally:
            own_valkey.resume()
        assert await own.execute([("PING",)]) == [b"PONG"]

    async def test_it_is_loading_its_data(
        self, open_link: Callable[[str], Link], own_valkey: Valkey, admin: redis.Redis
    ) -> None:
        admin.mset({f"key-{number}": "x" for number in range(5_000)})
        admin.save()
        own_valkey.stop()
        own_valkey.command += ["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"]
        own_valkey.spawn()
        loading = open_link(own_valkey.admin_url)

        async def says() -> str:
            try:
                await loading.execute([("GET", "key-0")])
            except OutOfReach as exc:
                return str(exc)
            return "nothing is wrong"

        await becomes(says, "Valkey is loading the dataset in memory", "Redis is loading the dataset in memory")

    async def test_it_has_become_a_replica(self, own: Link, admin: redis.Redis) -> None:
        admin.replicaof("127.0.0.1", "1")
        with pytest.raises(OutOfReach, match="read only replica"):
            await own.execute([("SET", "key", 1)])
        admin.config_set("replica-serve-stale-data", "no")
        with pytest.raises(OutOfReach, match="Link with MASTER is down"):
            await own.execute([("GET", "key")])
        assert own.failures == 2
        admin.replicaof("NO", "ONE")
        assert await own.execute([("SET", "key", 1)]) == [b"OK"]

    @pytest.mark.parametrize("code", ["READONLY", "OOM", "LOADING", "MASTERDOWN", "NOREPLICAS", "MISCONF"])
    async def test_so_says_a_script_of_an_older_redis(self, linked: Link, code: str) -> None:
        """It wraps the refusal of a command within a script."""
        told = f"ERR Error running script (call to f_1f): @user_script:1: @user_script: 1: -{code} Not now"
        with pytest.raises(OutOfReach, match=code):
            await linked.execute([("EVAL", "return redis.error_reply(ARGV[1])", 0, told)])

    async def test_a_word_that_only_sounds_like_it_is_a_refusal(self, linked: Link) -> None:
        with pytest.raises(Refused, match="BUSYBODY"):
            await linked.execute([("EVAL", "return redis.error_reply('ERR BUSYBODY at work')", 0)])

    async def test_its_memory_is_full(self, own: Link, admin: redis.Redis, key_prefix: str) -> None:
        script = look_at_two(key_prefix)
        await own.execute([script])
        admin.config_set("maxmemory", 1)
        for command in [("SET", "key", 1), script]:
            with pytest.raises(OutOfReach, match="maxmemory"):
                await own.execute([("PING",), command])
        admin.config_set("maxmemory", 0)
        assert await own.execute([script]) == [b"ok"]

    async def test_it_has_too_few_replicas(self, own: Link, admin: redis.Redis) -> None:
        admin.config_set("min-replicas-to-write", 1)
        with pytest.raises(OutOfReach, match="Not enough good replicas"):
            await own.execute([("SET", "key", 1)])

    async def test_it_cannot_write_its_disk(self, own: Link, own_valkey: Valkey, admin: redis.Redis) -> None:
        admin.config_set("save", "3600 1000000")
        shutil.rmtree(own_valkey.data)
        admin.bgsave()

        async def last_save() -> object:
            return admin.info("persistence")["rdb_last_bgsave_status"]

        await becomes(last_save, "err")
        with pytest.raises(OutOfReach, match="MISCONF"):
            await own.execute([("SET", "key", 1)])

    async def test_a_script_of_somebody_else_hangs(self, own: Link, own_valkey: Valkey, admin: redis.Redis) -> None:
        def hang() -> None:
            with closing(own_valkey.client()) as client, pytest.raises(redis.ResponseError, match="killed"):
                client.eval("while true do end", 0)

        admin.config_set("busy-reply-threshold", 10)
        hanging = asyncio.create_task(asyncio.to_thread(hang))

        async def says() -> str:
            try:
                await own.execute([("GET", "key")])
            except OutOfReach as exc:
                return str(exc).partition(" ")[0]
            return "nothing is wrong"

        try:
            await becomes(says, "BUSY")
        finally:
            admin.script_kill()
            await hanging

    async def test_the_database_does_not_exist(self, open_link: Callable[[str], Link], new_valkey: NewValkey) -> None:
        port = new_valkey(tcp=True).tcp_port
        with pytest.raises(OutOfReach, match="DB index is out of range"):
            await open_link(f"redis://127.0.0.1:{port}/99").execute([("PING",)])

    async def test_it_is_no_redis(self, open_link: Callable[[str], Link]) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()
            writer.close()
            ended.set()

        ended = asyncio.Event()
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(OutOfReach, match="Protocol error"):
                await open_link(f"redis://127.0.0.1:{port}/0").execute([("PING",)])
            await ended.wait()
