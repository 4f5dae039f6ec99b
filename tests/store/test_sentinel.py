"""The master as real Sentinels name it: some of them dead, silent, mistaken or locked; and a master that has moved."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from presence_server.address import Address, Node, parse
from presence_server.store import sentinel
from presence_server.store.connect import open_client, open_pool, open_sentinels
from presence_server.store.link import Link, OutOfReach
from presence_server.store.sentinel import watch
from tests.store.listening import link_to
from tests.support.sentinels import SERVICE, Sentinel
from tests.support.timing import SOON_S
from tests.support.tls import certificate, tls_in_front_of
from tests.support.valkey import Valkey

NewValkey = Callable[..., Valkey]
NewSentinel = Callable[..., Sentinel]


@pytest.fixture
def new_sentinel(tmp_path: Path) -> Iterator[NewSentinel]:
    """Starts a Sentinel."""
    with contextlib.ExitStack() as stack:

        def start(master: Valkey, *settings: str) -> Sentinel:
            sentinel = Sentinel(tmp_path, master, settings=settings)
            stack.callback(sentinel.close)
            sentinel.start()
            return sentinel

        yield start


@pytest.fixture
def masters(new_valkey: NewValkey) -> tuple[Valkey, Valkey]:
    """Two that have nothing to do with each other."""
    return new_valkey(), new_valkey()


@pytest.fixture
async def open_link() -> AsyncIterator[Callable[[str], Link]]:
    async with contextlib.AsyncExitStack() as stack:

        def start(url: str) -> Link:
            link = link_to(url)
            stack.push_async_callback(link.close)
            return link

        yield start


def url_of(*sentinels: Sentinel, account: str = "", service: str = SERVICE, query: str = "") -> str:
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
    return f"redis+sentinel://{account}{hosts}/{service}{query}"


def address_of(*sentinels: Sentinel) -> Address:
    return parse(url_of(*sentinels))


def node_of(valkey: Valkey) -> Node:
    return Node("127.0.0.1", valkey.tcp_port)


async def server_of(link: Link) -> int:
    """The port of the Redis that a link leads to."""
    (found,) = await link.execute([("CONFIG", "GET", "port")])
    return int(found[1])


class TestWhatIsBelieved:
    async def test_the_dead_and_the_silent_are_skipped(
        self, masters: tuple[Valkey, Valkey], new_sentinel: NewSentinel, open_link: Callable[[str], Link]
    ) -> None:
        dead, silent, well = (new_sentinel(masters[0]) for _ in range(3))
        dead.kill()
        silent.pause()
        try:
            assert await server_of(open_link(url_of(dead, silent, well))) == masters[0].tcp_port
            assert await open_sentinels(address_of(dead, silent, well)).agreed() is None, "one of three is no majority"
        finally:
            silent.resume()

    async def test_whoever_names_what_is_no_master_is_skipped(
        self, masters: tuple[Valkey, Valkey], new_sentinel: NewSentinel, open_link: Callable[[str], Link]
    ) -> None:
        liar, well = new_sentinel(masters[1]), new_sentinel(masters[0])
        with contextlib.closing(masters[1].client()) as admin:
            admin.replicaof("127.0.0.1", str(masters[0].tcp_port))
        assert await server_of(open_link(url_of(liar, well))) == masters[0].tcp_port
        link = open_link(url_of(liar))
        with pytest.raises(OutOfReach, match=f"Expected a master of 'main', got .*:{masters[1].tcp_port}: .*a replica"):
            await server_of(link)

    async def test_most_of_them_are_right(
        self, masters: tuple[Valkey, Valkey], new_sentinel: NewSentinel, open_link: Callable[[str], Link]
    ) -> None:
        mistaken, *well = new_sentinel(masters[1]), new_sentinel(masters[0]), new_sentinel(masters[0])
        for _ in range(5):
            assert await server_of(open_link(url_of(mistaken, *well))) == masters[0].tcp_port
        assert await open_sentinels(address_of(mistaken, *well)).agreed() == node_of(masters[0])

    async def test_of_as_many_the_newest_are(
        self, masters: tuple[Valkey, Valkey], new_sentinel: NewSentinel, open_link: Callable[[str], Link]
    ) -> None:
        newer = new_sentinel(masters[1], f"sentinel config-epoch {SERVICE} 7")
        older = new_sentinel(masters[0], f"sentinel config-epoch {SERVICE} 6")
        for order in ((older, newer), (newer, older)):
            assert await open_sentinels(address_of(*order)).masters() == [node_of(masters[1]), node_of(masters[0])]
        masters[1].kill()
        assert await server_of(open_link(url_of(newer, older))) == masters[0].tcp_port, "the next, if there is nobody"


class TestWhatIsTold:
    async def test_nobody_knows(
        self, masters: tuple[Valkey, Valkey], new_sentinel: NewSentinel, open_link: Callable[[str], Link]
    ) -> None:
        known, gone = new_sentinel(masters[0]), new_sentinel(masters[0])
        gone.kill()
        with pytest.raises(OutOfReach, match="Expected a Sentinel that knows 'other', got ") as told:
            await server_of(open_link(url_of(known, gone, service="other")))
        assert f"127.0.0.1:{known.port}: No such master with that name" in str(told.value)
        assert f"127.0.0.1:{gone.port}: " in str(told.value)

    async def test_nobody_answers(
        self, masters: tuple[Valkey, Valkey], new_sentinel: NewSentinel, open_link: Callable[[str], Link]
    ) -> None:
        silent = new_sentinel(masters[0])
        silent.pause()
        try:
            with pytest.raises(OutOfReach, match=f"got 127.0.0.1:{silent.port}: no answer in time"):
                await server_of(open_link(url_of(silent)))
        finally:
            silent.resume()

    async def test_what_is_there_is_no_sentinel(
        self, masters: tuple[Valkey, Valkey], open_link: Callable[[str], Link]
    ) -> None:
        with pytest.raises(OutOfReach, match="unknown command 'SENTINEL'"):
            await server_of(open_link(f"redis+sentinel://127.0.0.1:{masters[0].tcp_port}/main"))

    async def test_what_is_there_answers_nonsense(self, open_link: Callable[[str], Link]) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                if b"*" in line:
                    writer.write(b"*2\r\n$2\r\nip\r\n:1\r\n")
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(OutOfReach, match="got something else; is it a Sentinel"):
                await server_of(open_link(f"redis+sentinel://127.0.0.1:{port}/main"))


class TestAccounts:
    async def test_sentinels_have_accounts_of_their_own(
        self, masters: tuple[Valkey, Valkey], new_sentinel: NewSentinel, open_link: Callable[[str], Link]
    ) -> None:
        locked = new_sentinel(
            masters[0], "user presence on >w0rd -@all +sentinel|master", f"sentinel auth-pass {SERVICE} secret"
        )
        locked.says("ACL", "SETUSER", "default", "off")
        with contextlib.closing(masters[0].client()) as admin:
            admin.acl_setuser("maria", enabled=True, passwords=["+p@ss"], commands=["+config|get", "+role"], reset=True)
            admin.config_set("requirepass", "secret")
        query = "?sentinel_username=presence&sentinel_password=w0rd"
        link = open_link(url_of(locked, account="maria:p%40ss@", query=query))
        assert await server_of(link) == masters[0].tcp_port
        with pytest.raises(OutOfReach, match="Authentication required"):
            await server_of(open_link(url_of(locked, account="maria:p%40ss@")))
        with pytest.raises(OutOfReach, match="invalid username-password pair") as told:
            await server_of(open_link(url_of(locked, account="maria:wr0ng@", query=query)))
        assert "wr0ng" not in str(told.value)


class TestTls:
    async def test_sentinels_and_master_are_both_reached_by_it(
        self, new_valkey: NewValkey, new_sentinel: NewSentinel, open_link: Callable[[str], Link], tmp_path: Path
    ) -> None:
        pem, master = certificate(tmp_path), new_valkey()
        sentinel = new_sentinel(master)
        async with (
            tls_in_front_of(master.connect, pem) as master_port,
            tls_in_front_of(partial(asyncio.open_connection, "127.0.0.1", sentinel.port), pem) as sentinel_port,
        ):
            # It cannot speak TLS itself, and takes the master for dead; but tells where it is.
            sentinel.watch(master_port)
            url = f"sentinel://127.0.0.1:{sentinel_port}/{SERVICE}?ssl_ca_certs={pem}"
            link = open_link(f"rediss+{url}")
            assert await link.execute([("PING",)]) == [b"PONG"]
            await link.close()
            with pytest.raises(OutOfReach, match="CERTIFICATE_VERIFY_FAILED"):
                await open_link(f"rediss+{url.partition('?')[0]}").execute([("PING",)])


class TestAMasterThatHasMoved:
    async def test_what_stayed_where_it_was_is_told_to_come(
        self, masters: tuple[Valkey, Valkey], new_sentinel: NewSentinel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both say that they are masters, as for a while after a failover that the former one slept through."""
        monkeypatch.setattr(sentinel, "WATCH_INTERVAL_S", 0.02)
        sentinels = [new_sentinel(masters[0]) for _ in range(3)]
        pool, client = open_pool(url_of(*sentinels)), open_client(url_of(*sentinels))
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        moves: asyncio.Queue[str] = asyncio.Queue()
        watching = asyncio.create_task(watch((pool, client.connection_pool), moves.put_nowait))
        try:
            await connection.connect()
            await connection.connect()
            await client.ping()
            sentinels[0].watch(masters[1].tcp_port)
            assert await open_sentinels(address_of(*sentinels)).agreed() == node_of(masters[0])
            assert moves.empty(), "one alone may be mistaken"
            sentinels[1].watch(masters[1].tcp_port)
            async with asyncio.timeout(SOON_S):
                told = await moves.get()
            assert told == f"the master is at {node_of(masters[1])}, and no longer at {node_of(masters[0])}"
            await connection.disconnect()
            await connection.connect()
            assert connection.node == node_of(masters[1])
            # The other is there still, and is noticed by itself.
            while not moves.empty():
                moves.get_nowait()
            async with asyncio.timeout(SOON_S):
                await moves.get()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await connection.disconnect()
            await client.aclose()

    async def test_without_sentinels_there_is_nothing_to_watch(self, shared_valkey: Valkey) -> None:
        async with asyncio.timeout(SOON_S):
            await watch([open_pool(shared_valkey.url)], pytest.fail)
