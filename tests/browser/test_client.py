"""The client of a page against real workers: statuses, choices, and what a page is told."""

from __future__ import annotations

import pytest

from tests.browser.office import Office
from tests.browser.tab import Tab
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.tokens import mint

pytestmark = pytest.mark.asyncio(loop_scope="session")


# --- statuses ---------------------------------------------------------------------------------------------------------


async def test_everybody_is_known_once_it_is_live(office: Office) -> None:
    maria = await office.live("maria")
    juan = await office.live("juan", on=1)
    known = await juan.run(
        "return [client.user, client.teams, client.team, client.state, client.get('ana'),"
        " [...client.users().keys()].sort(), client.get('ana', { team: 'elsewhere' })];"
    )
    offline = {"status": "offline", "since": None, "reason": None, "stale": False}
    assert known == ["juan", [office.team], office.team, "open", offline, ["juan", "maria"], None]
    await maria.sees(office.team, "juan", "online")
    assert [each["reason"] for each in await maria.told("juan")][-1] == "signed_in"


async def test_oneself_is_what_the_server_says(office: Office) -> None:
    maria = await office.live("maria")
    myself = await maria.run("return client.self();")
    expected = {"user": "maria", "team": office.team, "chosen": "online", "idleTimeoutMs": 600_000, "contacts": []}
    assert myself == expected | {"status": "online", "since": myself["since"], "reason": "signed_in", "stale": False}


async def test_what_does_not_change_is_the_same_object(office: Office) -> None:
    """A page that compares by identity, as React does, renders nothing anew."""
    maria, juan = await office.live("maria"), await office.live("juan")
    await maria.sees(office.team, "juan", "online")
    read = "[client.get('maria'), client.get('ana'), client.self()]"
    await maria.run(f"window.before = {read};")
    assert await juan.choose("busy") is None
    await maria.sees(office.team, "juan", "busy")
    assert await maria.run(f"return {read}.map((each, at) => each === window.before[at]);") == [True, True, True]


async def test_a_page_is_told_of_nobody_who_stays_as_he_is(office: Office) -> None:
    maria, juan = await office.live("maria"), await office.live("juan")
    await maria.sees(office.team, "juan", "online")
    before = {user: len(await maria.told(user)) for user in ("maria", "ana")}
    assert await juan.choose("busy") is None
    await maria.sees(office.team, "juan", "busy")
    # A new connection brings everything anew, which is no news.
    await maria.run("client.close(); client.connect();")
    await maria.live()
    fresh = [each for each in await maria.told("ana") if not each.get("stale")]
    assert len({str(each) for each in fresh if "status" in each}) == 1
    assert before["ana"] >= 1
    assert await maria.statuses_told("juan") == ["offline", "online", "busy"]


async def test_hello_tells_how_long_ago_the_last_input_was(office: Office) -> None:
    maria = await office.live("maria")
    (hello,) = maria.of_type("hello")
    assert 0 <= hello["idle_ms"] < 60_000


async def test_a_user_named_like_a_part_of_an_object_is_a_user(office: Office) -> None:
    odd, maria = await office.live("__proto__"), await office.live("maria")
    await maria.sees(office.team, "__proto__", "online")
    assert await odd.choose("busy") is None
    await maria.sees(office.team, "__proto__", "busy")
    assert await maria.run("return ({}).status === undefined;") is True


async def test_who_listens_in_the_middle_of_it_all_is_right_at_once(office: Office) -> None:
    maria, juan = await office.live("maria"), await office.live("juan")
    await maria.sees(office.team, "juan", "online")
    assert await maria.run("return client.get('juan').status;") == "online"
    await maria.run("window.late = []; window.stop = client.subscribe('juan', (p) => window.late.push(p.status));")
    assert await juan.choose("busy") is None
    await maria.until("window.late.join() === 'busy'")
    await maria.run("window.stop(); window.stop();")
    assert await juan.choose("online") is None
    await maria.sees(office.team, "juan", "online")
    assert await maria.run("return window.late;") == ["busy"]


async def test_a_listener_that_throws_spoils_nothing_for_others(office: Office) -> None:
    maria, juan = await office.live("maria"), await office.live("juan")
    await maria.run(
        "window.stop = client.subscribe('juan', () => { throw new Error('of this page'); });"
        "window.others = []; client.subscribe('juan', (p) => window.others.push(p.status));"
    )
    assert await juan.choose("busy") is None
    await maria.until("window.others.at(-1) === 'busy'")

    async def thrown() -> bool:
        return bool(office.windows.errors)

    await becomes(thrown, True)
    await maria.run("window.stop();")
    assert set(office.windows.errors) == {"of this page"}
    office.windows.errors.clear()


async def test_a_team_as_a_whole_tells_who_changed(office: Office) -> None:
    maria = await office.live("maria")
    await maria.run("window.all = []; client.subscribeTeam(undefined, (changes) => window.all.push(...changes));")
    kim = await Client.connect(await ws_url(office), mint("kim", [office.team]))
    await maria.until("window.all.some(([user, p]) => user === 'kim' && p.status === 'online')")
    await kim.logout()
    await maria.until("window.all.some(([user, p]) => user === 'kim' && p.reason === 'signed_out')")
    await kim.end()


async def ws_url(office: Office) -> str:
    return f"{office.origins[0].replace('http', 'ws')}/v1/ws"


# --- choices ----------------------------------------------------------------------------------------------------------


async def test_choice_is_told_to_every_tab_and_to_teammates(office: Office) -> None:
    maria, phone, juan = (await office.live("maria"), await office.live("maria", on=1), await office.live("juan", on=1))
    assert await maria.choose("busy") is None
    for tab in (maria, phone, juan):
        await tab.sees(office.team, "maria", "busy")
    await phone.until("client.self().chosen === 'busy'")
    assert (await phone.events("self"))[-1]["chosen"] == "busy"


async def test_offline_cannot_be_chosen(office: Office) -> None:
    maria = await office.live("maria")
    assert await maria.choose("offline") == "status_not_selectable"
    assert await maria.choose("busy", "elsewhere") == "not_a_member"
    assert (await maria.get("maria") or {})["status"] == "online"


async def test_who_asks_too_often_never_hears_of_it(office: Office) -> None:
    """`rate_limited` is the client's to wait out: every choice of a burst is stored, the last one counts."""
    maria = await office.live("maria")
    codes = await maria.run(
        "return Promise.all(Array.from({ length: 70 }, (_, at) =>"
        " client.setStatus(at % 2 ? 'busy' : 'online').then(() => null, ({ code }) => code)));"
    )
    assert codes == [None] * 70
    assert any(message.get("code") == "rate_limited" for message in maria.received)
    assert await maria.events("error") == []


async def test_it_is_explained_why_one_is_shown_so(office: Office) -> None:
    maria = await office.live("maria")
    await office.live("maria", on=1)
    assert await maria.choose("busy") is None
    explained = await maria.run("return client.explain();")
    assert (explained["status"], explained["chosen"], explained["reason"]) == ("busy", "busy", "chosen")
    assert (explained["connections"], explained["nextChange"]) == (2, "offline")
    assert explained["nextChangeAt"] - explained["lastActive"] == 600_000
    code = await maria.run("return client.explain({ team: 'elsewhere' }).catch(({ code }) => code);")
    assert code == "not_a_member"


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, 1])
async def test_time_is_the_server_s(office: Office, hours: int) -> None:
    """On a machine whose clock is an hour off, since is compared with the server's clock."""
    page = await office.page()
    await page.add_init_script(
        f"const real = Date.now.bind(Date); Date.now = () => real() + {hours} * 3600_000;window.realNow = real;"
    )
    await page.reload()
    token = mint("maria", [office.team])
    maria = await (await Tab.open(page, lambda _why: token)).live()
    off_ms = await maria.run("return client.serverNow() - window.realNow();")
    assert abs(off_ms) < 1_000
    ago_ms = await maria.run("return client.serverNow() - client.self().since;")
    assert 0 <= ago_ms < 10_000


# --- closing and teams ------------------------------------------------------------------------------------------------


async def test_close_is_no_sign_out(office: Office) -> None:
    maria = await office.live("maria")
    await maria.run("client.close();")
    assert await maria.run("return [client.state, client.live, client.get('maria').stale];") == ["closed", False, True]
    assert await maria.choose("busy") == "unavailable"
    assert maria.of_type("logout") == []
    await maria.run("client.connect();")
    await maria.live()
    assert await maria.events("signedout") == []


async def test_a_team_that_is_left_has_no_dots(office: Office) -> None:
    """A renewed token names other teams: dots of the one that is gone are cleared, all at once."""
    gone = f"{office.team}-gone"
    tokens = iter([mint("maria", [office.team, gone], ttl_s=8), mint("maria", [office.team, f"{office.team}-new"])])
    maria = await Tab.open(await office.page(), lambda _why: next(tokens))
    await maria.live()
    await maria.run(
        "window.left = []; client.subscribe({ team: given, user: 'maria' }, (p) => window.left.push(p));", gone
    )
    await maria.sees(gone, "maria", "online")
    await maria.sees(f"{office.team}-new", "maria", "online")
    await maria.sees(gone, "maria", None)
    assert (await maria.run("return window.left;"))[-1] is None
    assert await maria.run("return [client.self({ team: given }), client.isLive({ team: given })];", gone) == [
        None,
        False,
    ]
    await maria.until("client.live")
    assert (await maria.events("teams"))[-1]["teams"] == [office.team, f"{office.team}-new"]
    assert maria.sockets == 1


async def test_a_constructor_without_a_way_to_tokens_says_so(office: Office) -> None:
    page = await office.page()
    message = await page.evaluate(
        "async () => { const { PresenceClient } = await import('/static/presence.js');"
        " try { new PresenceClient({}); } catch (error) { return error.message; } }"
    )
    assert message == "Expected getToken to be a function that brings a token, got undefined"
