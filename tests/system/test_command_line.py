"""Section 7 of the contract: the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import jwt
import pytest

from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.process import Process
from tests.support.site import Site
from tests.support.timing import SOON_S
from tests.support.tokens import SECRET
from tests.support.valkey import Valkey
from tests.support.worker import FAST, Worker, environment, get_status

Run = Callable[..., Process]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts a subcommand with arguments and settings."""
    with ExitStack() as stack:

        def start(*arguments: str, **settings: object) -> Process:
            process = Worker("-".join(["cli", arguments[0]]), tmp_path, {})
            process.command[3:] = arguments
            process.environment = environment(settings)
            stack.callback(process.close)
            process.spawn()
            return process

        yield start


async def test_token_prints_a_token_that_works(run: Run, site: Site) -> None:
    """User, teams, session, scope and lifetime as asked; nothing but the token on standard output."""
    process = run(
        *("token", "--user", "maria", "--team", site.team, "--team", "other", "--sid", "s1", "--admin", "--ttl", "600"),
        jwt_secret=SECRET,
    )
    assert await process.wait() == 0
    token = process.log().strip()
    claims = jwt.decode(token, SECRET, ["HS256"])
    assert (claims["sub"], claims["teams"], claims["sid"]) == ("maria", [site.team, "other"], "s1")
    assert "presence:admin" in claims["scope"].split()
    assert claims["exp"] - claims["iat"] == 600
    maria = await site.connect("maria", token=token)
    assert maria.welcome["user"] == "maria"


async def test_token_without_options_is_an_ordinary_one(run: Run, site: Site) -> None:
    """No session, no scope, an hour."""
    process = run("token", "--user", "maria", "--team", site.team, jwt_secret=SECRET)
    assert await process.wait() == 0
    claims = jwt.decode(process.log().strip(), SECRET, ["HS256"])
    assert claims["exp"] - claims["iat"] == 3_600
    assert "sid" not in claims
    assert "presence:admin" not in claims.get("scope", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "--team", "acme"),
        ("token", "--user", "a b", "--team", "acme"),
        ("token", "--user", "a", "--team", "a}"),
    ],
)
async def test_token_refuses_what_the_server_would(run: Run, arguments: tuple[str, ...]) -> None:
    """A missing user, ids that are none: an exit status and words, no token."""
    process = run("token", *arguments, jwt_secret=SECRET)
    assert await process.wait() > 0
    assert "Traceback" not in process.log()
    assert "eyJ" not in process.log()


async def test_token_needs_the_secret(run: Run) -> None:
    """Without PRESENCE_JWT_SECRET there is nothing to sign with."""
    process = run("token", "--user", "maria", "--team", "acme")
    assert await process.wait() > 0
    assert "PRESENCE_JWT_SECRET" in process.log()


async def test_check_says_that_all_is_well(run: Run, shared_valkey: Valkey) -> None:
    """Settings fine, Redis reachable: its version and clock, status 0."""
    process = run("check", jwt_secret=SECRET, redis_url=shared_valkey.url)
    assert await process.wait() == 0
    with shared_valkey.client() as redis:
        info = redis.info("server")
    assert any(str(info[name]) in process.log() for name in ("redis_version", "valkey_version") if name in info)


async def test_check_says_what_is_wrong(run: Run, new_valkey: Callable[..., Valkey]) -> None:
    """Contradictions, and a Redis out of reach: words and a status, no traces of the inside."""
    contradiction = run("check", jwt_secret=SECRET, lease_ttl=30, disconnect_grace=25)
    assert await contradiction.wait() > 0
    assert "PRESENCE_DISCONNECT_GRACE" in contradiction.log()
    valkey = new_valkey()
    valkey.stop()
    unreachable = run("check", jwt_secret=SECRET, redis_url=valkey.url)
    assert await unreachable.wait(within_s=30) > 0
    assert str(valkey.tcp_port) in unreachable.log()
    for process in (contradiction, unreachable):
        assert "Traceback" not in process.log()


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("token", "--help"), ("--version",)])
async def test_help_and_version(run: Run, arguments: tuple[str, ...]) -> None:
    """Both say something and end well, without any settings."""
    process = run(*arguments)
    assert await process.wait() == 0
    assert process.log().strip()


async def test_an_unknown_command_is_an_error(run: Run) -> None:
    """What there is instead is told."""
    process = run("dance")
    assert await process.wait() > 0
    assert "serve" in process.log()


async def test_serve_goes_on_without_redis_until_it_comes(
    new_valkey: Callable[..., Valkey], tmp_path: Path, key_prefix: str
) -> None:
    """Redis not there at the start: the process waits for it or ends saying so, and never serves half."""
    valkey = new_valkey()
    valkey.stop()
    worker = Worker("early", tmp_path, FAST | {"redis_url": valkey.url, "key_prefix": key_prefix})
    worker.spawn()
    try:
        await becomes(_status(worker), 503, "ended", within_s=4 * SOON_S)
        if worker.alive:
            await asyncio.to_thread(valkey.start)
            await asyncio.to_thread(worker.await_sync, lambda: worker.readyz() == 200)
            site = Site([worker])
            await site.connect("maria")
            await site.close()
        else:
            assert str(valkey.tcp_port) in worker.log()
            assert "Traceback" not in worker.log()
    finally:
        worker.close()


def _status(worker: Worker) -> Callable[[], Awaitable[object]]:
    async def ask() -> object:
        return await asyncio.to_thread(worker.readyz) if worker.alive else "ended"

    return ask


async def test_demo_works_without_any_setting(tmp_path: Path) -> None:
    """An embedded Valkey, a made-up secret, a page at `/`, PRESENCE_PORT honoured, and gone without a trace."""
    demo = Worker("demo", tmp_path, {"data_dir": tmp_path / "data"}, command="demo")
    try:
        await asyncio.to_thread(demo.start)
        async with httpx.AsyncClient(trust_env=False) as http:
            page = await http.get(demo.http_url + "/")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "<script" in page.text
        stranger = await Client.connect(demo.ws_url, "no-token")
        await stranger.closed(4501)
        demo.interrupt()
        assert await demo.wait() == 0
    finally:
        demo.close()
    assert get_status(demo.port, "/healthz") is None


async def test_serve_has_no_demo_page(site: Site) -> None:
    """The demo, which mints tokens, is part of `demo` alone."""
    assert (await site.api(None).request("GET", "/")).status_code == 404


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
async def test_signals_end_with_status_zero(
    signal: str, tmp_path: Path, shared_valkey: Valkey, key_prefix: str
) -> None:
    """An operator's interrupt and a supervisor's request alike, with a connection open."""
    worker = Worker("signalled", tmp_path, FAST | {"redis_url": shared_valkey.url, "key_prefix": key_prefix})
    try:
        await asyncio.to_thread(worker.start)
        site = Site([worker])
        maria = await site.connect("maria")
        if signal == "SIGINT":
            worker.interrupt()
        else:
            worker.terminate()
        await maria.closed(4001)
        assert await worker.wait() == 0
        await site.close()
    finally:
        worker.close()
    assert "Traceback" not in worker.log()
