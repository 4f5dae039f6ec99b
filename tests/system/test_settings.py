"""Section 3 of the contract: defaults and settings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import NewSite
from tests.support.ports import free_port
from tests.support.timing import GRACE_S, NOTICE_S, SLACK_S, SOON_S, UNIT
from tests.support.tokens import SECRET
from tests.support.valkey import Valkey
from tests.support.worker import FAST, Worker, get_status


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what a test starts by hand."""
    with ExitStack() as stack:
        yield stack


async def _refuses_to_start(stack: ExitStack, directory: Path, **settings: object) -> str:
    """Start a worker that must end by itself with an error; returns what it printed."""
    worker = Worker("refusing", directory, settings)
    stack.callback(worker.close)
    worker.spawn()
    status = await worker.wait()
    assert status > 0, f"Expected an exit status that says so, got {status}:\n{worker.tail()}"
    assert "Traceback" not in worker.log(), f"Expected words for an operator, got {worker.tail()}"
    return worker.log()


async def test_contradictions_stop_the_start_all_told_at_once(stack: ExitStack, tmp_path: Path) -> None:
    """No key at all, a grace beyond two thirds of the lease, a word for a number, a bad URL: one start tells all."""
    printed = await _refuses_to_start(
        stack,
        tmp_path,
        redis_url="http://127.0.0.1:6379",
        lease_ttl=30,
        disconnect_grace=21,
        idle_timeout="soon",
        log_format="xml",
    )
    for variable in (
        "JWT_SECRET",
        "JWKS_URL",
        "DISCONNECT_GRACE",
        "LEASE_TTL",
        "IDLE_TIMEOUT",
        "REDIS_URL",
        "LOG_FORMAT",
    ):
        assert f"PRESENCE_{variable}" in printed


async def test_serve_refuses_to_start_without_a_key(stack: ExitStack, shared_valkey: Valkey, tmp_path: Path) -> None:
    """Neither secret nor JWKS: `serve` refuses and names both."""
    printed = await _refuses_to_start(stack, tmp_path, redis_url=shared_valkey.url)
    assert "PRESENCE_JWT_SECRET" in printed
    assert "PRESENCE_JWKS_URL" in printed


async def test_two_thirds_of_the_lease_may_equal_the_grace(new_site: NewSite) -> None:
    """Not shorter than the grace: as long is allowed."""
    site = await new_site(lease_ttl=3, disconnect_grace=2)
    await site.connect("maria")


async def test_flags_say_where_to_listen(
    stack: ExitStack, shared_valkey: Valkey, key_prefix: str, tmp_path: Path
) -> None:
    """`--port` counts more than the environment's port."""
    settings = FAST | {"redis_url": shared_valkey.url, "key_prefix": key_prefix}
    worker = Worker("flagged", tmp_path, settings | {"port": 1})
    worker.command += ["--host", "127.0.0.1", "--port", str(worker.port)]
    stack.callback(worker.close)
    await asyncio.to_thread(worker.start)
    assert get_status(worker.port, "/healthz") == 200


async def test_defaults_are_those_of_the_contract(new_site: NewSite) -> None:
    """Without further settings: heartbeats every 25 s, idle after 600 s."""
    site = await new_site(lease_ttl=None, disconnect_grace=None, drain_timeout=None)
    maria = await site.connect("maria")
    assert maria.welcome["heartbeat_ms"] == 25_000
    assert maria.view().idle_timeout_ms == 600_000
    assert (await site.api("maria").settings())["idle_timeout"] == 600


async def test_seconds_may_be_fractional(new_site: NewSite) -> None:
    """PRESENCE_HEARTBEAT_INTERVAL and PRESENCE_IDLE_TIMEOUT with a fraction arrive as milliseconds."""
    site = await new_site(heartbeat_interval=2.5, idle_timeout=90.5)
    maria = await site.connect("maria")
    assert maria.welcome["heartbeat_ms"] == 2_500
    assert maria.view().idle_timeout_ms == 90_500


async def test_keys_begin_with_the_prefix_and_keep_installations_apart(
    new_site: NewSite, new_valkey: Callable[..., Valkey]
) -> None:
    """Two installations on one Redis see nothing of each other; every key begins with its prefix."""
    valkey = new_valkey()
    ours, theirs = [await new_site(valkey=valkey, key_prefix=prefix) for prefix in ("test-ours", "test-theirs")]
    maria = await ours.connect("maria", teams=["acme"])
    await theirs.connect("juan", teams=["acme"])
    await maria.quiet_for(0.5)
    assert maria.view().statuses() == {"maria": "online"}
    with valkey.client() as redis:
        keys = {str(key) for key in redis.scan_iter(count=1_000)}
    assert {key.split(":")[0] for key in keys} == {"test-ours", "test-theirs"}


async def test_logs_are_text_or_json(new_site: NewSite) -> None:
    """PRESENCE_LOG_FORMAT=json: every line is a JSON object."""
    site = await new_site(log_format="json", log_level="debug")
    maria = await site.connect("maria")
    await maria.logout()
    await site.stop_workers()
    lines = site.workers[0].log().splitlines()
    assert lines, "Expected a server that says something when it starts and ends"
    for line in lines:
        assert isinstance(json.loads(line), dict), f"Expected a JSON object, got {line!r}"


async def test_logs_never_hold_a_token(new_site: NewSite) -> None:
    """Tokens are secrets: not even a refused one is printed at the most talkative level."""
    site = await new_site(log_level="debug")
    good, bad = site.token("maria"), site.token("maria", secret="another-secret-that-is-long-enough-for-hs256")
    await site.connect("maria", token=good)
    await site.refused(4501, token=bad)
    assert (await site.api(token=good).request("GET", "/v1/teams/{team}/presence")).status_code == 200
    await site.stop_workers()
    log = site.workers[0].log()
    for token in (good, bad):
        assert token.rpartition(".")[2] not in log
    assert SECRET not in log


async def test_the_ping_cuts_off_who_does_not_answer(new_site: NewSite) -> None:
    """PRESENCE_PING_INTERVAL and _TIMEOUT: a half-open connection ends, and its user is offline after the grace."""
    site = await new_site(ping_interval=0.5 * UNIT, ping_timeout=0.5 * UNIT)
    maria = await site.connect("maria")
    juan = await site.connect("juan")
    await maria.sees("juan", "online")
    juan.freeze()
    within_s = UNIT + GRACE_S + NOTICE_S + SLACK_S
    await maria.sees("juan", "offline", reason="disconnected", within_s=within_s)
    assert maria.close_code is None
    juan.thaw()
    await juan.closed(within_s=SOON_S)


async def test_silence_is_not_an_end_where_pings_are_answered(new_site: NewSite) -> None:
    """No heartbeat at all for many heartbeat intervals: the connection stays, its user only idles."""
    site = await new_site(ping_interval=0.5 * UNIT, ping_timeout=0.5 * UNIT, heartbeat_interval=0.3, idle_timeout=60)
    maria = await site.connect("maria")
    juan = await site.connect("juan")
    await maria.sees("juan", "online")
    await maria.quiet_for(5 * UNIT)
    assert juan.close_code is None


async def test_the_oldest_connection_gives_way(new_site: NewSite) -> None:
    """PRESENCE_MAX_CONNECTIONS_PER_USER: one more closes the user's oldest with 4504, and nobody sees anything."""
    site = await new_site(max_connections_per_user=3)
    maria = await site.connect("maria")
    tabs = [await site.connect("juan") for _ in range(3)]
    await maria.sees("juan", "online")
    fourth = await site.connect("juan")
    await tabs[0].closed(4504)
    fifth = await site.connect("juan")
    await tabs[1].closed(4504)
    await maria.quiet_for(GRACE_S + NOTICE_S)
    assert [client.close_code for client in (tabs[2], fourth, fifth, maria)] == [None] * 4


async def test_metrics_on_a_port_of_their_own(new_site: NewSite) -> None:
    inside = free_port()
    site = await new_site(metrics_port=inside)
    assert get_status(site.workers[0].port, "/metrics") == 404
    for path in ("/metrics", "/readyz", "/healthz"):
        assert get_status(inside, path) == 200
