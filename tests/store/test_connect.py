"""One URL to a client: sockets, passwords, TLS."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from presence_server.store import connect
from presence_server.store.connect import open_client, open_pool
from presence_server.store.link import OutOfReach
from tests.store.listening import link_to
from tests.support.tls import certificate, tls_in_front_of
from tests.support.valkey import Valkey

PASSWORD = "p@ss/w:rd?#%"
IN_URL = "p%40ss%2Fw%3Ard%3F%23%25"


async def ping(url: str) -> None:
    link = link_to(url)
    try:
        assert await link.execute([("PING",)]) == [b"PONG"]
    finally:
        await link.close()


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """A Valkey on a port and a socket, with a password for every user."""
    server = Valkey(tcp=True)
    try:
        server.start()
        with contextlib.closing(server.client()) as client:
            client.acl_setuser("maria", enabled=True, passwords=[f"+{PASSWORD}"], commands=["+ping"], reset=True)
            client.config_set("requirepass", PASSWORD)
        yield server
    finally:
        server.close()


async def test_a_port_with_the_password_of_the_default_user(valkey: Valkey) -> None:
    await ping(f"redis://:{IN_URL}@127.0.0.1:{valkey.tcp_port}/0")


async def test_a_port_with_a_user_of_its_own(valkey: Valkey) -> None:
    await ping(f"redis://maria:{IN_URL}@127.0.0.1:{valkey.tcp_port}")


async def test_a_socket_with_a_password(valkey: Valkey) -> None:
    await ping(f"unix://:{IN_URL}@{valkey.socket}")


async def test_a_socket_without(shared_valkey: Valkey) -> None:
    await ping(f"unix://{shared_valkey.socket}")


@pytest.mark.parametrize("who", ["", ":wrong@", "maria:wrong@", f"nobody:{IN_URL}@"])
async def test_without_the_right_password_redis_is_out_of_reach(valkey: Valkey, who: str) -> None:
    with pytest.raises(OutOfReach) as told:
        await ping(f"redis://{who}127.0.0.1:{valkey.tcp_port}/0")
    assert "wrong@" not in str(told.value)
    assert PASSWORD not in str(told.value)


async def test_a_database_of_its_own(shared_valkey: Valkey, key_prefix: str) -> None:
    links = [link_to(f"{shared_valkey.admin_url}?db={db}") for db in (0, 7)]
    try:
        await links[1].execute([("SET", key_prefix, "seven", "PX", 60_000)])
        assert await links[0].execute([("EXISTS", key_prefix)]) == [0]
        assert await links[1].execute([("DEL", key_prefix)]) == [1]
    finally:
        for link in links:
            await link.close()


async def test_tls_with_a_certificate_that_is_trusted(shared_valkey: Valkey, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    async with tls_in_front_of(shared_valkey.connect, pem) as port:
        await ping(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={pem}")


async def test_tls_with_one_that_is_not(shared_valkey: Valkey, tmp_path: Path) -> None:
    async with tls_in_front_of(
        lambda: asyncio.open_unix_connection(shared_valkey.socket), certificate(tmp_path)
    ) as port:
        with pytest.raises(OutOfReach, match="CERTIFICATE_VERIFY_FAILED"):
            await ping(f"rediss://127.0.0.1:{port}/0")


async def test_no_tls_where_it_was_asked_for(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "TIMEOUT_S", 0.2)
    link = link_to(f"rediss://127.0.0.1:{valkey.tcp_port}/0")
    with pytest.raises(OutOfReach):
        await link.execute([("PING",)])
    await link.close()


def test_a_cluster_is_no_one_server() -> None:
    with pytest.raises(ValueError, match="Expected one Redis, or Sentinels, got a cluster"):
        open_pool("redis+cluster://127.0.0.1")


async def test_a_client_for_the_same_addresses(shared_valkey: Valkey) -> None:
    client = open_client(shared_valkey.admin_url)
    assert await client.ping()
    await client.aclose()
