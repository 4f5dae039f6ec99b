"""Teams so large that they are watched by list: whom the page subscribes to, in as few messages as can be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from tests.browser.bundles import BROWSER, node
from tests.browser.office import Office
from tests.browser.tab import Tab
from tests.support.client import Client
from tests.support.tokens import mint

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_pure_decisions() -> None:
    """What needs neither a browser nor a server: browser/test."""
    tests = sorted(str(path) for path in (BROWSER / "test").glob("*.test.js"))
    assert len(tests) >= 5
    node("--test", *tests)


async def large(office: Office, user: str = "maria") -> Tab:
    """A tab of a browser that has found the team to be large."""
    page = await office.page()
    await page.evaluate("(team) => localStorage.setItem('presence:large', JSON.stringify([team]))", office.team)
    token = mint(user, [office.team])
    return await (await Tab.open(page, lambda _why: token)).live()


async def others(office: Office, names: Sequence[str]) -> list[Client]:
    url = f"{office.origins[0].replace('http', 'ws')}/v1/ws"
    return [await Client.connect(url, mint(name, [office.team]), name=name) for name in names]


async def follow(tab: Tab, users: Sequence[str]) -> None:
    body = "window.stops = given.map((user) => client.subscribe(user, () => {}));"
    await tab.run(body, list(users))


async def test_it_is_told_of_whom_the_page_subscribes_to(office: Office) -> None:
    kim, lee = await others(office, ["kim", "lee"])
    maria = await large(office)
    # From the first word on: the page of these tests follows maria, juan and ana.
    (hello,) = maria.of_type("hello")
    assert sorted(hello["watch"][office.team]) == ["ana", "juan", "maria"]
    await maria.sees(office.team, "ana", "offline")
    await maria.sees(office.team, "kim", None)
    await follow(maria, ["kim"])
    await maria.sees(office.team, "kim", "online")
    await kim.choose("busy")
    await maria.sees(office.team, "kim", "busy")
    await lee.choose("busy")
    await maria.sees(office.team, "lee", None)
    assert not [
        message for message in maria.received if "lee" in message.get("users", {}) and message["type"] == "delta"
    ]
    for client in (kim, lee):
        await client.end()


async def test_scrolling_is_few_messages_and_a_choice_gets_through(office: Office) -> None:
    """Sixty rows come and go every tenth of a second: at most two lists a second, and who was there stays there."""
    maria = await large(office)
    before, begun_s = len(maria.of_type("watch")), time.monotonic()
    for step in range(20):
        await maria.run("(window.stops ?? []).forEach((stop) => stop());")
        await follow(maria, [f"row-{row}" for row in range(step * 30, step * 30 + 60)])
        if step == 10:
            assert await maria.choose("busy") is None
        await asyncio.sleep(0.1)
    await maria.sees(office.team, "row-629", "offline")
    lists = maria.of_type("watch")[before:]
    # The first one asks for what is shown at the start.
    assert len(lists) <= 1 + 2 * (time.monotonic() - begun_s)
    assert await maria.events("error") == []
    # Scrolling back finds them there, without another word.
    await maria.run("(window.stops ?? []).forEach((stop) => stop());")
    count = len(maria.of_type("watch"))
    await follow(maria, ["row-100", "row-200"])
    await maria.sees(office.team, "row-100", "offline")
    assert len(maria.of_type("watch")) == count


async def test_rows_that_will_come_can_be_watched_ahead(office: Office) -> None:
    (kim,) = await others(office, ["kim"])
    maria = await large(office)
    await maria.run("client.prefetch(['kim', 'juan']);")
    await follow(maria, ["lee"])
    await maria.sees(office.team, "lee", "offline")
    await maria.sees(office.team, "kim", "online")
    # Of whom the page follows anyhow, nothing is lost by it.
    await maria.sees(office.team, "juan", "offline")
    await kim.end()


async def test_who_wants_the_whole_team_gets_it(office: Office) -> None:
    (kim,) = await others(office, ["kim"])
    maria = await large(office)
    await maria.sees(office.team, "kim", None)
    await maria.run("window.stop = client.subscribeTeam(undefined, () => {});")
    await maria.sees(office.team, "kim", "online")
    assert maria.of_type("watch")[-1]["users"] == "all"
    await maria.run("window.stop();")
    await maria.sees(office.team, "kim", None)
    await kim.end()


async def test_the_list_outlives_the_connection(office: Office) -> None:
    (kim,) = await others(office, ["kim"])
    maria = await large(office)
    await follow(maria, ["kim"])
    await maria.sees(office.team, "kim", "online")
    await maria.page.context.set_offline(True)
    await maria.until("!client.live")
    await maria.page.context.set_offline(False)
    hello = (await maria.sends("hello", 2))[-1]
    assert "kim" in hello["watch"][office.team]
    assert office.team not in hello["resume"]
    await maria.live()
    await maria.sees(office.team, "kim", "online")
    await kim.end()


async def test_a_thousand_subscriptions_are_the_whole_team(office: Office) -> None:
    """More than a list holds: then everybody is told of, and nothing is refused."""
    maria = await large(office)
    await follow(maria, [f"row-{row}" for row in range(1_200)])
    await maria.sees(office.team, "row-1199", "offline")
    assert maria.of_type("watch")[-1]["users"] == "all"
    assert await maria.events("error") == []
