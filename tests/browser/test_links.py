"""Connections that die, are cut, or come back: what the page shows, and what teammates see."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from tests.browser.office import Office
from tests.browser.tab import Tab
from tests.browser.windows import Windows
from tests.support.proxy import RedisProxy
from tests.support.tokens import mint
from tests.support.valkey import Valkey
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewWorker = Callable[..., Worker]
NewOffice = Callable[..., Office]


@pytest_asyncio.fixture(loop_scope="session")
async def new_office(windows: Windows) -> AsyncIterator[NewOffice]:
    offices: list[Office] = []

    def make(*origins: str | Worker) -> Office:
        offices.append(Office(windows, origins))
        return offices[-1]

    yield make
    for office in offices:
        await office.close()


@pytest.fixture
def new_wire() -> Iterator[Callable[[Worker], RedisProxy]]:
    """Puts a wire in front of a worker that can swallow everything without a FIN."""
    wires: list[RedisProxy] = []

    def lay(worker: Worker) -> RedisProxy:
        wires.append(RedisProxy(worker.port))
        return wires[-1]

    yield lay
    for wire in wires:
        wire.close()


def http(wire: RedisProxy) -> str:
    return f"http://127.0.0.1:{wire.port}"


async def restart(worker: Worker) -> None:
    worker.terminate()
    assert await worker.wait() == 0
    worker.start()


# --- dead links -------------------------------------------------------------------------------------------------------


async def test_a_link_that_swallows_everything_is_noticed_by_the_page(
    new_office: NewOffice, new_worker: NewWorker, new_wire: Callable[[Worker], RedisProxy]
) -> None:
    """No FIN, no error, no pong that a page could see: it is stale within a heartbeat and 5 s, and tries anew."""
    worker = new_worker(heartbeat_interval=1, ping_interval=60, ping_timeout=60)
    wire = new_wire(worker)
    office = new_office(http(wire), worker)
    maria = await office.live("maria")
    connection = maria.received[0]["connection"]
    wire.pull_cable()
    cut_s = time.monotonic()
    await maria.until("!client.live")
    assert time.monotonic() - cut_s < 1 + 5 + 2 + 1
    assert maria.of_type("heartbeat")[-1]["id"]
    wire.mend()
    await maria.live()
    assert (await maria.sends("hello", 2))[-1]["replaces"] == connection
    # The half-open socket was replaced, not left to linger.
    await office.has_connections("maria", 1)


async def test_an_alive_link_is_asked_and_kept(new_office: NewOffice, new_worker: NewWorker) -> None:
    office = new_office(new_worker(heartbeat_interval=0.3))
    maria = await office.live("maria")
    await maria.sends("heartbeat", 4)
    # One a heartbeat interval, and each of them asks.
    assert all("id" in beat for beat in maria.of_type("heartbeat")[1:])
    assert maria.sockets == 1
    assert await maria.run("return client.live;") is True


async def test_a_choice_on_a_dead_link_is_stored_on_the_next(
    new_office: NewOffice, new_worker: NewWorker, new_wire: Callable[[Worker], RedisProxy]
) -> None:
    """Five seconds without an answer on an open connection mean a new one, whatever the heartbeat interval."""
    worker = new_worker(heartbeat_interval=60, ping_interval=60, ping_timeout=60)
    wire = new_wire(worker)
    office = new_office(http(wire), worker)
    maria, juan = await office.live("maria"), await office.live("juan", on=1)
    await juan.sees(office.team, "maria", "online")
    wire.pull_cable()
    await maria.run("window.choice = client.setStatus('busy').then(() => 'stored', ({ code }) => code);")
    await maria.until("client.state === 'connecting'")
    wire.mend()
    assert await maria.run("return window.choice;") == "stored"
    await juan.sees(office.team, "maria", "busy")
    assert "offline" not in (await juan.statuses_told("maria"))[1:]


async def test_a_page_that_is_looked_at_again_asks_at_once(
    new_office: NewOffice, new_worker: NewWorker, new_wire: Callable[[Worker], RedisProxy]
) -> None:
    """Long after the last word, coming back into view is reason enough to ask whether the link still lives."""
    wire = new_wire(new_worker(heartbeat_interval=60, ping_interval=60, ping_timeout=60))
    office = new_office(http(wire))
    page = await office.page()
    await page.clock.install()
    token = mint("maria", [office.team])
    maria = await (await Tab.open(page, lambda _why: token)).live()
    await page.clock.run_for(20_000)
    beats = len(maria.of_type("heartbeat"))
    await maria.run("document.dispatchEvent(new Event('visibilitychange'));")
    asked = (await maria.sends("heartbeat", beats + 1))[-1]
    assert "id" in asked
    assert maria.sockets == 1


async def test_a_machine_that_was_asleep_shows_nothing_old_as_fresh(
    new_office: NewOffice, new_worker: NewWorker, new_wire: Callable[[Worker], RedisProxy]
) -> None:
    worker = new_worker(ping_interval=600, ping_timeout=600)
    wire = new_wire(worker)
    office = new_office(http(wire), worker)
    page = await office.page()
    await page.clock.install()
    token = mint("maria", [office.team])
    maria = await (await Tab.open(page, lambda _why: token)).live()
    wire.pull_cable()
    await page.clock.fast_forward("02:00:00")
    await maria.until("!client.live")
    await page.clock.run_for(6_000)
    wire.mend()
    hello = (await maria.sends("hello", 2))[-1]
    assert hello["replaces"] == maria.received[0]["connection"]
    assert hello["idle_ms"] >= 7_200_000
    await maria.until("client.state === 'open'")


# --- servers ----------------------------------------------------------------------------------------------------------


async def test_a_rolling_restart_is_resumed_and_seen_by_nobody(new_office: NewOffice, new_worker: NewWorker) -> None:
    settings = {"drain_timeout": 0.2, "disconnect_grace": 10, "lease_ttl": 16}
    leaving, staying = new_worker(**settings), new_worker(**settings)
    office = new_office(leaving, staying)
    juan, maria = await office.live("juan", on=1), await office.live("maria")
    await juan.sees(office.team, "maria", "online")
    first = maria.received[0]["connection"]
    await restart(leaving)
    hello = (await maria.sends("hello", 2))[-1]
    await maria.until("client.state === 'open'")
    await maria.live()
    assert hello["replaces"] == first
    assert hello["resume"][office.team]["epoch"]
    welcome = next(message for message in maria.received[1:] if message["type"] == "welcome")
    after = maria.received[maria.received.index(welcome) :]
    assert "snapshot" not in [message["type"] for message in after]
    codes = [event["code"] for event in await maria.events("connection") if event["state"] == "waiting"]
    assert codes[0] == 4001
    assert await juan.statuses_told("maria") == ["offline", "online"]


async def test_a_worker_that_is_killed_is_seen_by_nobody(new_office: NewOffice, new_worker: NewWorker) -> None:
    settings = {"disconnect_grace": 10, "lease_ttl": 16}
    killed, staying = new_worker(**settings), new_worker(**settings)
    office = new_office(killed, staying)
    juan, maria = await office.live("juan", on=1), await office.live("maria")
    await juan.sees(office.team, "maria", "online")
    killed.kill()
    killed.start()
    await maria.sends("hello", 2)
    await maria.live()
    assert await maria.choose("busy") is None
    await juan.sees(office.team, "maria", "busy")
    assert await juan.statuses_told("maria") == ["offline", "online", "busy"]


async def test_a_server_that_is_gone_is_waited_for_and_its_statuses_are_stale(
    new_office: NewOffice, new_worker: NewWorker
) -> None:
    worker = new_worker(drain_timeout=0.1)
    office = new_office(worker)
    page = await office.page()
    # So that the wait for the next attempt is short, however long the server is gone.
    await page.add_init_script("Math.random = () => 0.05;")
    await page.reload()
    token = mint("maria", [office.team])
    maria = await (await Tab.open(page, lambda _why: token)).live()
    worker.terminate()
    await worker.wait()
    await maria.until("!client.live && client.get('maria').stale && client.get('ana').stale")
    assert (await maria.get("maria") or {})["status"] == "online"
    await maria.until("client.state === 'waiting'")
    waiting = (await maria.events("connection"))[-1]
    assert waiting["retryAt"] > await maria.run("return client.serverNow() - 1000;")
    worker.start()
    await maria.live()
    assert not (await maria.get("maria") or {})["stale"]
    assert [event["live"] for event in await maria.events("feed")] == [True, False, True]


async def test_a_choice_does_not_wait_for_the_next_attempt(new_office: NewOffice, new_worker: NewWorker) -> None:
    """Made while the client waits, it makes it try at once; it is stored as soon as there is a server."""
    worker = new_worker(drain_timeout=0.1)
    office = new_office(worker)
    page = await office.page()
    # The longest wait there is, whatever the dice say.
    await page.add_init_script("Math.random = () => 0.999;")
    await page.reload()
    token = mint("maria", [office.team])
    maria = await (await Tab.open(page, lambda _why: token)).live()
    worker.terminate()
    await worker.wait()
    await maria.until("events.filter(({ state }) => state === 'waiting').length >= 4")
    worker.start()
    await maria.until("client.state === 'waiting'")
    begun_s = time.monotonic()
    assert await maria.choose("busy") is None
    assert time.monotonic() - begun_s < 3
    assert len(maria.of_type("set_status")) == 1
    await maria.sees(office.team, "maria", "busy")


async def test_choices_go_before_watch_lists_and_are_restated(new_office: NewOffice, new_worker: NewWorker) -> None:
    worker = new_worker()
    office = new_office(worker)
    maria = await office.live("maria")
    worker.pause()
    await maria.run("window.choice = client.setStatus('busy');")
    await maria.sends("set_status")
    worker.kill()
    worker.start()
    await maria.run("await window.choice;")
    first, second = maria.of_type("set_status")
    assert first == second
    await maria.sees(office.team, "maria", "busy")


async def test_statuses_are_stale_while_redis_is_away(
    new_office: NewOffice, new_worker: NewWorker, new_valkey: Callable[..., Valkey]
) -> None:
    valkey = new_valkey(persistent=True)
    office = new_office(new_worker(redis_url=valkey.url))
    maria = await office.live("maria")
    valkey.kill()
    await maria.until("!client.live")
    assert await maria.run("return [client.state, client.get('maria').status, client.get('maria').stale];") == [
        "open",
        "online",
        True,
    ]
    # What waits for Redis is no dead link: the connection stays.
    await maria.run("window.choice = client.setStatus('busy').then(() => 'stored', ({ code }) => code);")
    await maria.sends("set_status")
    valkey.start()
    assert await maria.run("return window.choice;") == "stored"
    await maria.live()
    assert [event["live"] for event in await maria.events("feed")] == [True, False, True]
    assert maria.sockets == 1


# --- the network ------------------------------------------------------------------------------------------------------


async def test_without_a_network_all_is_stale_at_once_and_a_new_one_is_used_at_once(
    new_office: NewOffice, new_worker: NewWorker
) -> None:
    worker = new_worker()
    office = new_office(worker)
    maria = await office.live("maria")
    connection = maria.received[0]["connection"]
    await maria.page.context.set_offline(True)
    await maria.until("!client.live")
    await maria.page.context.set_offline(False)
    hello = (await maria.sends("hello", 2))[-1]
    assert hello["replaces"] == connection
    await maria.live()
    await office.has_connections("maria", 1)


async def test_a_short_break_is_not_called_stale(
    new_office: NewOffice, new_worker: NewWorker, new_wire: Callable[[Worker], RedisProxy]
) -> None:
    wire = new_wire(new_worker())
    office = new_office(http(wire))
    page = await office.page()
    await page.add_init_script("Math.random = () => 0.1;")
    await page.reload()
    token = mint("maria", [office.team])
    maria = await (await Tab.open(page, lambda _why: token)).live()
    wire.cut()
    wire.mend()
    await maria.sends("hello", 2)
    await maria.until("client.state === 'open'")
    await maria.live()
    assert [event["live"] for event in await maria.events("feed")] == [True]
