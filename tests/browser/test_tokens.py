"""Tokens in every way that a host application may bring them, or fail to."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.browser.office import Office
from tests.browser.tab import Tab
from tests.browser.windows import Windows
from tests.support.polling import becomes
from tests.support.tokens import mint
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewWorker = Callable[..., Worker]

FAILURES = {
    "throws": "throw new Error('the host is away')",
    "rejects": "return Promise.reject(undefined)",
    "502 with HTML": "return '<html><h1>502 Bad Gateway</h1></html>'",
    "401 with JSON": 'return \'{"error":"unauthorized"}\'',
    "JSON instead of text": 'return \'{"token":"eyJ.eyJ.sig"}\'',
    "an object": "return { token: 'a.b.c' }",
    "empty": "return ''",
    "nothing": "return undefined",
    "no JSON inside": "return 'abc.def.ghi'",
}


async def failing(office: Office, failure: str, times: int) -> Tab:
    """A tab whose `getToken` fails in one way some times, and then works."""
    page = await office.page()
    await page.add_init_script("Math.random = () => 0.2;")
    await page.reload()
    token = mint("maria", [office.team])
    tab = Tab(page, lambda _why: token)
    await page.expose_function("mintToken", tab._mint)
    await page.evaluate(
        """async ([failure, times]) => {
          const { PresenceClient } = await import("/static/presence.js");
          const fail = new Function(failure);
          window.calls = 0;
          window.events = [];
          const getToken = (why) => (window.calls++ < times ? fail() : window.mintToken(why));
          const client = new PresenceClient({ getToken, tabs: "each" });
          client.on("error", ({ error: { code } }) => window.events.push({ type: "error", code }));
          client.on("signedout", (detail) => window.events.push({ type: "signedout", ...detail }));
          window.client = client;
        }""",
        [failure, times],
    )
    return tab


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_it_is_asked_again_and_told_once(office: Office, failure: str) -> None:
    """Whatever the host brings instead of a token: no connection ends for it, and nothing but a token is ever sent."""
    maria = await failing(office, failure, times=3)
    await maria.live()
    assert await maria.run("return window.calls;") == 4
    assert len(await maria.events("error")) == 1
    assert await maria.events("signedout") == []
    (hello,) = maria.of_type("hello")
    assert hello["token"].count(".") == 2


async def test_a_promise_that_never_settles_is_given_up(office: Office) -> None:
    page = await office.page()
    await page.clock.install()
    answers = itertools.chain(["never"], itertools.repeat(mint("maria", [office.team])))
    maria = Tab(page, lambda _why: next(answers))
    await page.expose_function("mintToken", maria._mint)
    await page.evaluate(
        """async () => {
          const { PresenceClient } = await import("/static/presence.js");
          window.events = [];
          const getToken = async (why) => {
            const token = await window.mintToken(why);
            return token === "never" ? new Promise(() => {}) : token;
          };
          window.client = new PresenceClient({ getToken, tabs: "each" });
          window.client.on("error", ({ error }) => window.events.push({ type: "error", code: error.code }));
        }"""
    )

    async def asked() -> list[str]:
        return maria.asked

    await becomes(asked, ["connect"])
    await page.clock.run_for(10_000)
    await maria.until("events.length === 1")
    await page.clock.run_for(2_000)
    await maria.live()
    assert await maria.events("error") == [{"type": "error", "code": "unavailable"}]


async def test_null_means_that_nobody_is_signed_in(office: Office) -> None:
    maria = await Tab.open(await office.page(), lambda _why: None)
    await maria.until("client.state === 'stopped'")
    (event,) = await maria.events("signedout")
    assert (event["code"], event["reason"]) == (None, "no_token")
    assert maria.sockets == 0


async def test_null_at_the_renewal_means_the_same(windows: Windows, new_worker: NewWorker) -> None:
    office = Office(windows, [new_worker()])
    tokens = iter([mint("maria", [office.team], ttl_s=8), None])
    juan = await office.live("juan")
    maria = await (await Tab.open(await office.page(), lambda _why: next(tokens))).live()
    await juan.sees(office.team, "maria", "online")
    await maria.until("client.state === 'stopped'")
    assert [event["reason"] for event in await maria.events("signedout")] == ["no_token"]
    assert maria.asked == ["connect", "renew"]
    await juan.sees(office.team, "maria", "offline")


async def test_a_token_is_renewed_without_a_new_connection(office: Office) -> None:
    team = office.team
    maria = await Tab.open(await office.page(), lambda _why: mint("maria", [team], ttl_s=6))
    await maria.sends("renew", 2)
    assert maria.asked[:3] == ["connect", "renew", "renew"]
    assert [event["state"] for event in await maria.events("connection")] == ["open"]
    assert [event["live"] for event in await maria.events("feed")] == [True]


async def test_a_failing_renewal_is_tried_again_until_the_token_ends(windows: Windows, new_worker: NewWorker) -> None:
    """Teammates see nothing of it: the token's end is a connection lost, and forgiven."""
    office = Office(windows, [new_worker(disconnect_grace=8, lease_ttl=15)])
    team = office.team

    def token(why: str) -> str:
        if why == "renew":
            raise RuntimeError("the host application is away")
        return mint("maria", [team], ttl_s=6)

    juan = await office.live("juan")
    maria = await Tab.open(await office.page(), token)
    await juan.sees(team, "maria", "online")
    await maria.sends("hello", 2)
    await maria.until("client.state === 'open'")
    assert maria.asked[:2] == ["connect", "renew"]
    assert "refused" in maria.asked
    assert len(await maria.events("error")) == 1
    assert [event["code"] for event in await maria.events("connection") if event["state"] == "waiting"] == [4004]
    await maria.live()
    assert await juan.statuses_told("maria") == ["offline", "online"]


async def test_a_renewal_that_the_server_refuses_is_asked_for_once_more(office: Office) -> None:
    team = office.team
    forged = mint("maria", [team], secret="x" * 40)
    tokens = iter([mint("maria", [team], ttl_s=8), forged, mint("maria", [team])])
    maria = await (await Tab.open(await office.page(), lambda _why: next(tokens))).live()
    await maria.sends("renew", 2)
    assert maria.asked == ["connect", "renew", "refused"]
    assert await maria.events("error") == []
    assert maria.sockets == 1


async def test_a_refused_token_is_asked_for_once_more(office: Office) -> None:
    tokens = iter([mint("maria", [office.team], secret="x" * 40), mint("maria", [office.team])])
    maria = await (await Tab.open(await office.page(), lambda _why: next(tokens))).live()
    assert maria.asked == ["connect", "refused"]
    assert await maria.events("signedout") == []


async def test_refused_twice_it_stops_and_names_the_settings(office: Office) -> None:
    forged = mint("maria", [office.team], secret="x" * 40)
    forger = await Tab.open(await office.page(), lambda _why: forged)
    await forger.until("client.state === 'stopped'")
    assert forger.asked == ["connect", "refused"]
    (event,) = await forger.events("signedout")
    assert (event["code"], event["reason"]) == (4501, "token_refused")
    (line,) = [line for line in forger.console if line.startswith("Presence has stopped")]
    assert line == event["message"]
    assert "PRESENCE_JWT_SECRET" in line
    assert "4501: " in line


async def test_a_token_without_a_team_is_not_allowed(office: Office) -> None:
    token = mint("maria", [])
    maria = await Tab.open(await office.page(), lambda _why: token)
    await maria.until("client.state === 'stopped'")
    (event,) = await maria.events("signedout")
    assert (event["code"], event["reason"]) == (4503, "not_allowed")
    assert "PRESENCE_ALLOWED_ORIGINS" in event["message"]


async def test_a_page_of_another_origin_is_told_which_setting_to_look_at(office: Office) -> None:
    token = mint("maria", [office.team])
    url = office.origins[0].replace("127.0.0.1", "localhost")
    maria = await Tab.open(await office.page(), lambda _why: token, url=f"{url}/v1/ws")
    await maria.until("client.state === 'stopped'")
    (line,) = [line for line in maria.console if line.startswith("Presence has stopped")]
    assert "PRESENCE_ALLOWED_ORIGINS" in line
    assert "4503: " in line


async def test_another_user_who_signs_in_gets_a_connection_of_his_own(office: Office) -> None:
    """The host brings somebody else's token at the renewal: the page becomes his, and nothing of hers stays."""
    team = office.team
    tokens = iter([mint("maria", [team], ttl_s=8), mint("juan", [team])])
    page = await Tab.open(await office.page(), lambda _why: next(tokens))
    await page.until("client.user === 'maria'")
    await page.until("client.user === 'juan' && client.live")
    assert await page.run("return client.self().user;") == "juan"
    assert [message["type"] for message in page.sent].count("hello") == 2
