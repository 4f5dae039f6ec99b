"""The browser client against real workers: statuses, choices, watching, input (presence-client.js)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.browser.tab import Tab
from tests.browser.windows import Windows
from tests.support.tokens import mint
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Office:
    """People of one team in browser windows, each on one of two workers."""

    def __init__(self, windows: Windows, workers: list[Worker]) -> None:
        self.windows = windows
        self.workers = workers
        self.team = f"acme-{secrets.token_hex(4)}"

    async def tab(self, user: str, *, on: int = 0, sid: str | None = None, **options: object) -> Tab:
        page = await self.windows.open_blank(self.workers[on].http_url)
        token = mint(user, [self.team], sid=sid)
        return await Tab.open(page, lambda _why: token, **options)

    async def live(self, user: str, *, on: int = 0, sid: str | None = None) -> Tab:
        return await (await self.tab(user, on=on, sid=sid)).live()


@pytest_asyncio.fixture(loop_scope="session")
async def office(windows: Windows, shared_workers: list[Worker]) -> AsyncIterator[Office]:
    yield Office(windows, shared_workers)


# --- statuses ---------------------------------------------------------------------------------------------------------


async def test_everybody_is_known_once_it_is_live(office: Office) -> None:
    maria = await office.live("maria")
    juan = await office.live("juan", on=1)
    team = office.team
    known = await juan.run(
        "return [client.user, client.teams, client.state, client.status(given, 'ana'), [...client.users(given).keys()]"
        ", client.self(given), client.status('elsewhere', 'ana')];",
        team,
    )
    assert known == [
        "juan",
        [team],
        "open",
        {"status": "offline", "since": None, "reason": None},
        ["maria", "juan"],
        {"chosen": "online", "idleTimeoutMs": 600_000},
        None,
    ]
    await maria.sees(team, "juan", "online")
    (joined,) = [event for event in await maria.events("status") if "juan" in event["changes"]]
    assert joined["team"] == team
    assert joined["changes"]["juan"]["before"]["status"] == "offline"
    assert joined["changes"]["juan"]["after"]["reason"] == "signed_in"


async def test_hello_tells_how_long_ago_the_last_input_was(office: Office) -> None:
    maria = await office.live("maria")
    (hello,) = maria.of_type("hello")
    assert set(hello) == {"type", "token", "idle_ms"}
    assert 0 <= hello["idle_ms"] < 60_000


async def test_choice_is_told_to_every_tab_and_to_teammates(office: Office) -> None:
    maria, phone, juan = (await office.live("maria"), await office.live("maria", on=1), await office.live("juan", on=1))
    assert await maria.choose("busy") is None
    for tab in (maria, phone, juan):
        await tab.sees(office.team, "maria", "busy")
    await phone.until("client.self(given).chosen === 'busy'", office.team)
    assert (await phone.events("self"))[-1]["chosen"] == "busy"


async def test_offline_cannot_be_chosen(office: Office) -> None:
    maria = await office.live("maria")
    assert await maria.choose("offline") == "status_not_selectable"
    assert await maria.choose("busy", "elsewhere") == "not_a_member"
    assert await maria.run("return client.status(given, 'maria').status;", office.team) == "online"


async def test_a_user_named_like_a_part_of_an_object_is_a_user(office: Office) -> None:
    odd = await office.live("__proto__")
    maria = await office.live("maria")
    await maria.sees(office.team, "__proto__", "online")
    assert await odd.choose("busy") is None
    await maria.sees(office.team, "__proto__", "busy")
    assert await maria.run("return ({}).status === undefined;") is True


# --- watching ---------------------------------------------------------------------------------------------------------


async def test_watching_some_hides_the_others_until_all_are_watched_again(office: Office) -> None:
    maria, juan, ana = [await office.live(user) for user in ("maria", "juan", "ana")]
    await maria.sees(office.team, "ana", "online")
    assert await maria.watch(office.team, ["juan"]) is None
    await maria.sees(office.team, "ana", None)
    assert await ana.choose("busy") is None
    assert await juan.choose("busy") is None
    await maria.sees(office.team, "juan", "busy")
    assert await maria.run("return client.status(given, 'ana');", office.team) is None
    assert await maria.watch(office.team, "all") is None
    await maria.sees(office.team, "ana", "busy")


async def test_watch_list_outlives_the_connection(office: Office) -> None:
    maria, _juan, ana = [await office.live(user) for user in ("maria", "juan", "ana")]
    assert await maria.watch(office.team, ["juan"]) is None
    await maria.sees(office.team, "ana", None)
    await maria.run("window.dispatchEvent(new Event('online'));")
    _, hello = await maria.sends("hello", 2)
    assert hello["watch"] == {office.team: ["juan"]}
    assert "resume" not in hello
    await maria.live()
    assert await ana.choose("busy") is None
    assert await maria.run("return client.status(given, 'ana');", office.team) is None


async def test_watch_list_too_long_for_the_hello_follows_it(office: Office) -> None:
    maria, _juan = await office.live("maria"), await office.live("juan")
    crowd = [f"somebody-with-a-long-name-{number}" for number in range(999)]
    assert await maria.watch(office.team, [*crowd, "juan"]) is None
    await maria.run("window.dispatchEvent(new Event('online'));")
    _, hello = await maria.sends("hello", 2)
    assert "watch" not in hello
    _, again = await maria.sends("watch", 2)
    assert again["users"] == [*crowd, "juan"]
    await maria.sees(office.team, "juan", "online")
    await maria.sees(office.team, "ana", None)
    assert await maria.events("error") == []


async def test_watch_list_that_is_refused_leaves_the_old_one(office: Office) -> None:
    maria, _juan = await office.live("maria"), await office.live("juan")
    crowd = [f"user-{number}" for number in range(1_001)]
    assert await maria.watch(office.team, crowd) == "too_many_users"
    await maria.sees(office.team, "juan", "online")


# --- signing out ------------------------------------------------------------------------------------------------------


async def test_logout_ends_every_tab_of_the_session(office: Office) -> None:
    juan = await office.live("juan")
    sid = f"s-{office.team}"
    laptop, phone = await office.live("maria", sid=sid), await office.live("maria", on=1, sid=sid)
    await laptop.run("await client.logout();")
    for tab in (laptop, phone):
        await tab.until("client.state === 'stopped'")
        assert await tab.events("signedout") == [{"type": "signedout", "code": 4506, "reason": "signed_out"}]
    await juan.sees(office.team, "maria", "offline")
    assert (await juan.run("return client.status(given, 'maria').reason;", office.team)) == "signed_out"
    assert await laptop.choose("busy") == "unavailable"
    assert await laptop.run("return client.live;") is False


async def test_logout_before_the_connection_is_carried_out_once_it_is(office: Office) -> None:
    juan = await office.live("juan")
    maria = await office.live("maria", sid=f"s-{office.team}")
    await juan.sees(office.team, "maria", "online")
    await maria.run("client.close(); client.connect(); await client.logout();")
    assert [event["reason"] for event in await maria.events("signedout")] == ["signed_out"]
    await juan.sees(office.team, "maria", "offline")
    assert (await juan.run("return client.status(given, 'maria').reason;", office.team)) == "signed_out"


async def test_close_is_no_sign_out(office: Office) -> None:
    maria = await office.live("maria")
    await maria.run("client.close();")
    assert await maria.run("return client.state;") == "closed"
    assert maria.of_type("logout") == []
    await maria.run("client.connect();")
    await maria.live()
    assert await maria.events("signedout") == []


# --- input ------------------------------------------------------------------------------------------------------------


async def test_only_a_person_s_input_ends_idling(windows: Windows, short_worker: Worker) -> None:
    office = Office(windows, [short_worker])
    maria, juan = await office.live("maria"), await office.live("juan")
    await maria.sees(office.team, "maria", "offline")
    assert await maria.run("return client.status(given, 'maria').reason;", office.team) == "idle"
    beats = len(maria.of_type("heartbeat"))
    await maria.run(
        """for (const type of ["pointerdown", "pointermove", "keydown", "touchstart", "wheel"]) {
          document.body.dispatchEvent(new Event(type, { bubbles: true }));
        }
        document.body.style.height = "9999px";
        window.scrollTo(0, 500);"""
    )
    await maria.sends("heartbeat", beats + 1)
    assert await maria.run("return client.status(given, 'maria').status;", office.team) == "offline"
    await maria.page.mouse.move(100, 100)
    await maria.page.mouse.move(140, 120)
    await maria.sees(office.team, "maria", "online")
    assert await maria.run("return client.status(given, 'maria').reason;", office.team) == "active"
    await juan.page.keyboard.press("Shift")
    await juan.sees(office.team, "juan", "online")


async def test_a_page_that_reloads_itself_is_no_one_s_activity(windows: Windows, short_worker: Worker) -> None:
    office = Office(windows, [short_worker])
    maria = await office.live("maria")
    await maria.sees(office.team, "maria", "offline")
    idle_ms = (await maria.sends("heartbeat"))[-1]["idle_ms"]
    await maria.start_on_load()
    await maria.page.reload()
    hello = (await maria.sends("hello", 2))[-1]
    assert hello["idle_ms"] >= idle_ms > 1_000
    await maria.live()
    assert await maria.run("return client.status(given, 'maria').status;", office.team) == "offline"

    await maria.page.goto(f"{short_worker.http_url}/healthz?somebody-went-here")
    hello = (await maria.sends("hello", 3))[-1]
    assert hello["idle_ms"] < 1_000
    await maria.sees(office.team, "maria", "online")


async def test_input_is_told_within_a_third_of_the_idle_timeout(windows: Windows, short_worker: Worker) -> None:
    """Somebody who keeps typing stays online, however short his team's idle timeout is."""
    office = Office(windows, [short_worker])
    maria, juan = await office.live("maria"), await office.live("juan")
    for _ in range(20):
        await maria.page.keyboard.press("a", delay=200)
    assert len(maria.of_type("heartbeat")) >= 4
    changes = [event["changes"] for event in await juan.events("status")]
    assert [change["maria"]["after"]["reason"] for change in changes if "maria" in change] == ["signed_in"]
