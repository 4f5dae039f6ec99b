"""The browser client when connections, tokens, networks and servers come and go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.tab import Tab
from tests.browser.windows import Windows
from tests.support.api import Api
from tests.support.polling import becomes
from tests.support.tokens import mint
from tests.support.valkey import Valkey
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewWorker = Callable[..., Worker]
TEAM = "acme"
QUICK = {"backoff": {"baseMs": 100, "capMs": 300}}


async def open_tab(windows: Windows, worker: Worker, user: str, **options: object) -> Tab:
    token = mint(user, [TEAM])
    return await Tab.open(await windows.open_blank(worker.http_url), lambda _why: token, **(QUICK | options))


async def restart(worker: Worker) -> None:
    worker.terminate()
    assert await worker.wait() == 0
    worker.start()


# --- servers ----------------------------------------------------------------------------------------------------------


async def test_a_deploy_is_resumed_and_seen_by_nobody(windows: Windows, new_worker: NewWorker) -> None:
    leaving, staying = new_worker(drain_timeout=0.2, disconnect_grace=8, lease_ttl=15), new_worker(lease_ttl=15)
    juan = await (await open_tab(windows, staying, "juan")).live()
    maria = await (await open_tab(windows, leaving, "maria")).live()
    await juan.sees(TEAM, "maria", "online")
    epoch = maria.received[-1]["epoch"]
    connection = maria.received[0]["connection"]
    await restart(leaving)
    hello = (await maria.sends("hello", 2))[-1]
    await maria.until("client.state === 'open'")
    await maria.live()
    assert hello["replaces"] == connection
    assert hello["resume"][TEAM]["epoch"] == epoch
    since = maria.received.index(next(m for m in maria.received[1:] if m["type"] == "welcome"))
    assert [message["type"] for message in maria.received[since:]].count("snapshot") == 0
    codes = [event["code"] for event in await maria.events("connection") if event["state"] == "waiting"]
    assert codes[0] == 4001
    assert [
        event["changes"]["maria"]["after"]["status"]
        for event in await juan.events("status")
        if "maria" in event["changes"]
    ] == ["online"]


async def test_choice_made_while_disconnected_is_carried_out_after_it(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker(drain_timeout=0.1)
    maria = await (await open_tab(windows, worker, "maria")).live()
    worker.terminate()
    await worker.wait()
    await maria.until("client.state === 'waiting'")
    await maria.run("window.choice = client.setStatus('busy');")
    assert maria.of_type("set_status") == []
    worker.start()
    await maria.run("await window.choice;")
    assert len(maria.of_type("set_status")) == 1
    await maria.sees(TEAM, "maria", "busy")


async def test_choice_that_was_not_answered_is_restated_once(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker()
    maria = await (await open_tab(windows, worker, "maria")).live()
    worker.pause()
    await maria.run("window.choice = client.setStatus('busy');")
    await maria.sends("set_status")
    worker.kill()
    worker.start()
    await maria.run("await window.choice;")
    first, second = maria.of_type("set_status")
    assert first == second
    await maria.sees(TEAM, "maria", "busy")


async def test_request_without_an_answer_fails_in_the_end(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker()
    maria = await (await open_tab(windows, worker, "maria", answerTimeoutMs=300)).live()
    worker.pause()
    assert await maria.choose("busy") == "unavailable"
    worker.resume()


async def test_statuses_are_stale_while_redis_is_away(
    windows: Windows, new_worker: NewWorker, new_valkey: Callable[..., Valkey]
) -> None:
    valkey = new_valkey(persistent=True)
    worker = new_worker(redis_url=valkey.url)
    maria = await (await open_tab(windows, worker, "maria")).live()
    valkey.kill()
    await maria.until("!client.live")
    assert await maria.run("return [client.state, client.status(given, 'maria').status];", TEAM) == ["open", "online"]
    valkey.start()
    await maria.live()
    assert [event["live"] for event in await maria.events("feed")] == [True, False, True]
    assert maria.sockets == 1


async def test_a_short_break_is_not_called_stale(windows: Windows, new_worker: NewWorker) -> None:
    maria = await (await open_tab(windows, new_worker(), "maria", staleAfterMs=60_000)).live()
    await maria.run("window.dispatchEvent(new Event('online'));")
    await maria.sends("hello", 2)
    await maria.until("client.state === 'open'")
    assert [event["live"] for event in await maria.events("feed")] == [True]


# --- networks and pages -----------------------------------------------------------------------------------------------


async def test_statuses_are_stale_without_a_network_and_a_new_one_is_used_at_once(
    windows: Windows, new_worker: NewWorker
) -> None:
    worker = new_worker()
    maria = await (await open_tab(windows, worker, "maria")).live()
    connection = maria.received[0]["connection"]
    await maria.page.context.set_offline(True)
    await maria.until("!client.live")
    await maria.page.context.set_offline(False)
    hello = (await maria.sends("hello", 2))[-1]
    assert hello["replaces"] == connection
    await maria.live()
    api = Api(worker.http_url, mint("maria", [TEAM]), TEAM)
    assert (await api.user("maria"))["connections"] == 1
    await api.close()


async def test_a_machine_that_was_asleep_connects_anew(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker()
    page = await windows.open_blank(worker.http_url)
    await page.clock.install()
    token = mint("maria", [TEAM])
    maria = await (await Tab.open(page, lambda _why: token, **QUICK)).live()
    connection = maria.received[0]["connection"]
    await page.clock.fast_forward("02:00:00")
    hello = (await maria.sends("hello", 2))[-1]
    assert hello["replaces"] == connection
    assert hello["idle_ms"] >= 7_200_000
    await maria.until("client.state === 'open'")


async def test_a_page_put_away_closes_and_comes_back(windows: Windows, new_worker: NewWorker) -> None:
    maria = await (await open_tab(windows, new_worker(), "maria")).live()
    await maria.run("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));")
    assert await maria.run("return client.state;") == "closed"
    assert maria.of_type("logout") == []
    await maria.run("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));")
    await maria.live()
    # The browser tells of its sockets on a way of its own, which may be the slower one.
    await maria.sends("hello", 2)
    assert maria.sockets == 2


async def test_reload_shows_teammates_nothing(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker(disconnect_grace=8, lease_ttl=15)
    juan = await (await open_tab(windows, worker, "juan")).live()
    maria = await (await open_tab(windows, worker, "maria")).live()
    await juan.sees(TEAM, "maria", "online")
    await maria.start_on_load(**QUICK)
    await maria.page.reload()
    await maria.live()
    assert await maria.choose("busy") is None
    await juan.sees(TEAM, "maria", "busy")
    seen = [event["changes"]["maria"]["after"] for event in await juan.events("status") if "maria" in event["changes"]]
    assert [after["reason"] for after in seen] == ["signed_in", "chosen"]


async def test_leaving_the_page_is_a_disconnection(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker()
    juan = await (await open_tab(windows, worker, "juan")).live()
    maria = await (await open_tab(windows, worker, "maria")).live()
    await juan.sees(TEAM, "maria", "online")
    await maria.page.goto("about:blank")
    await juan.sees(TEAM, "maria", "offline")
    assert await juan.run("return client.status(given, 'maria').reason;", TEAM) == "disconnected"


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_token_is_renewed_without_a_new_connection(windows: Windows, new_worker: NewWorker) -> None:
    maria = await Tab.open(
        await windows.open_blank(new_worker().http_url), lambda _why: mint("maria", [TEAM], ttl_s=3), **QUICK
    )
    await maria.sends("renew", 3)
    assert maria.asked[:4] == ["connect", "renew", "renew", "renew"]
    assert await maria.states() == ["connecting", "open"]


async def test_renewed_token_can_change_the_teams(windows: Windows, new_worker: NewWorker) -> None:
    tokens = iter([mint("maria", [TEAM, "old"], ttl_s=4), mint("maria", [TEAM, "new"])])
    maria = await Tab.open(await windows.open_blank(new_worker().http_url), lambda _why: next(tokens), **QUICK)
    await maria.live()
    await maria.sees("new", "maria", "online")
    await maria.sees("old", "maria", None)
    assert sorted(await maria.run("return client.teams;")) == [TEAM, "new"]
    assert await maria.run("return client.live;") is True
    assert maria.sockets == 1


async def test_failed_renewal_is_tried_again_and_then_the_connection_is(
    windows: Windows, new_worker: NewWorker
) -> None:
    def token(why: str) -> str:
        if why == "renew":
            raise RuntimeError("the host application is away")
        return mint("maria", [TEAM], ttl_s=6)

    maria = await Tab.open(await windows.open_blank(new_worker().http_url), token, **QUICK)
    await maria.sends("hello", 2)
    await maria.until("client.state === 'open'")
    assert maria.asked == ["connect", "renew", "renew", "refused"]
    assert len(await maria.events("error")) == 2
    assert [event["code"] for event in await maria.events("connection") if event["state"] == "waiting"] == [4004]


async def test_refused_token_is_replaced_once(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker()
    tokens = iter([mint("maria", [TEAM], secret="x" * 40), mint("maria", [TEAM])])
    maria = await Tab.open(await windows.open_blank(worker.http_url), lambda _why: next(tokens), **QUICK)
    await maria.live()
    assert maria.asked == ["connect", "refused"]

    forged = mint("maria", [TEAM], secret="x" * 40)
    forger = await Tab.open(await windows.open_blank(worker.http_url), lambda _why: forged, **QUICK)
    await forger.until("client.state === 'stopped'")
    assert forger.asked == ["connect", "refused"]
    assert await forger.events("signedout") == [{"type": "signedout", "code": 4501, "reason": "token_refused"}]


async def test_host_application_that_is_away_is_asked_again(windows: Windows, new_worker: NewWorker) -> None:
    answers = iter([None, None, mint("maria", [TEAM])])

    def token(_why: str) -> str:
        answer = next(answers)
        if answer is None:
            raise RuntimeError("the host application is away")
        return answer

    maria = await Tab.open(await windows.open_blank(new_worker().http_url), token, **QUICK)
    await maria.live()
    assert maria.asked == ["connect"] * 3
    assert len(await maria.events("error")) == 2


async def test_without_a_token_it_stops(windows: Windows, new_worker: NewWorker) -> None:
    maria = await Tab.open(await windows.open_blank(new_worker().http_url), lambda _why: None, **QUICK)
    await maria.until("client.state === 'stopped'")
    assert await maria.events("signedout") == [{"type": "signedout", "code": None, "reason": "no_token"}]
    assert maria.sockets == 0


# --- final words ------------------------------------------------------------------------------------------------------


async def test_too_many_tabs_stop_the_oldest_until_it_is_wanted_again(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker(max_connections_per_user=1)
    first = await (await open_tab(windows, worker, "maria")).live()
    second = await (await open_tab(windows, worker, "maria")).live()
    await first.until("client.state === 'stopped'")
    assert await first.events("signedout") == [{"type": "signedout", "code": 4504, "reason": "replaced"}]
    await first.run("client.connect();")
    await first.live()
    await second.until("client.state === 'stopped'")


async def test_sign_out_by_force_is_final(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker()
    maria = await (await open_tab(windows, worker, "maria")).live()
    api = Api(worker.http_url, mint("boss", [TEAM], admin=True), TEAM)
    await api.sign_out("maria")
    await maria.until("client.state === 'stopped'")
    assert await maria.events("signedout") == [{"type": "signedout", "code": 4506, "reason": "signed_out"}]
    await becomes(api.statuses, {})
    await api.close()


async def test_token_without_a_team_is_not_allowed(windows: Windows, new_worker: NewWorker) -> None:
    token = mint("maria", [])
    maria = await Tab.open(await windows.open_blank(new_worker().http_url), lambda _why: token, **QUICK)
    await maria.until("client.state === 'stopped'")
    assert await maria.events("signedout") == [{"type": "signedout", "code": 4503, "reason": "not_allowed"}]
