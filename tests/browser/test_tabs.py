"""Many tabs of one browser: they share a socket, and whichever of them ends, the others go on unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.browser.office import Office
from tests.browser.tab import Tab
from tests.browser.windows import Windows
from tests.support.polling import becomes
from tests.support.tokens import mint
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewWorker = Callable[..., Worker]

WAYS = {
    "a shared worker": "",
    "the tab that leads": "delete globalThis.SharedWorker;",
}
"""How tabs share, and what to take from a page so that they do."""


@pytest_asyncio.fixture(loop_scope="session")
async def lasting(windows: Windows, new_worker: NewWorker) -> AsyncIterator[Office]:
    """A team on a worker of its own, where a lost connection would be seen after 1.5 s."""
    office = Office(windows, [new_worker()])
    yield office
    await office.close()


class Browser:
    """Tabs of one browser, which share in one way."""

    def __init__(self, office: Office, without: str) -> None:
        self.office = office
        self.tabs: list[Tab] = []
        self._without = without

    async def tab(self, user: str = "maria", sid: str = "s1", **options: object) -> Tab:
        """Open one more tab."""
        page = await self.office.page(beside=self.tabs[0] if self.tabs else None)
        await page.add_init_script(self._without)
        await page.reload()
        token = mint(user, [self.office.team], sid=sid)
        tab = await Tab.open(page, lambda _why: token, **({"tabs": "shared"} | options))
        self.tabs.append(tab)
        return await tab.live()


async def command(tab: Tab, method: str, **arguments: object) -> None:
    """Say something to the tab's devtools."""
    session = await tab.page.context.new_cdp_session(tab.page)
    await session.send(method, arguments)


async def becomes_connected(office: Office, user: str, sockets: int) -> None:
    async def open_sockets() -> int:
        return await office.connections(user)

    await becomes(open_sockets, sockets)


@pytest.mark.parametrize("without", WAYS.values(), ids=WAYS)
async def test_thirty_tabs_are_one_socket(lasting: Office, without: str) -> None:
    browser = Browser(lasting, without)
    for _ in range(30):
        await browser.tab()
    await lasting.has_connections("maria", 1)
    juan = await lasting.live("juan")
    assert await juan.choose("busy") is None
    await asyncio.gather(*(tab.sees(lasting.team, "juan", "busy") for tab in browser.tabs))
    assert await browser.tabs[29].choose("busy") is None
    await asyncio.gather(*(tab.sees(lasting.team, "maria", "busy") for tab in browser.tabs))
    await lasting.has_connections("maria", 1)


@pytest.mark.parametrize("without", WAYS.values(), ids=WAYS)
async def test_users_and_sessions_share_nothing(lasting: Office, without: str) -> None:
    """Two people side by side in one browser, and one of them signed in twice."""
    browser = Browser(lasting, without)
    tabs = [await browser.tab("maria", "s1"), await browser.tab("juan", "s2"), await browser.tab("juan", "s3")]
    await lasting.has_connections("juan", 2)
    assert [await tab.run("return client.user;") for tab in tabs] == ["maria", "juan", "juan"]
    await tabs[2].run("await client.logout();")
    await tabs[1].sees(lasting.team, "juan", "online")
    assert await tabs[1].run("return client.live;") is True


async def test_without_sharing_each_tab_has_its_own(lasting: Office) -> None:
    browser = Browser(lasting, "")
    for _ in range(3):
        await browser.tab(tabs="each")
    await lasting.has_connections("maria", 3)


async def test_a_page_that_has_neither_workers_nor_locks_has_its_own(lasting: Office) -> None:
    browser = Browser(lasting, "delete globalThis.SharedWorker; delete Navigator.prototype.locks;")
    await browser.tab()
    await browser.tab()
    await lasting.has_connections("maria", 2)


async def test_a_worker_that_cannot_be_loaded_is_done_without(lasting: Office) -> None:
    """A bundler that does not know of it, or a policy that forbids it: the tabs share in the other way."""
    broken = "const Real = SharedWorker; globalThis.SharedWorker = class extends Real {"
    broken += " constructor(url, options) { super('/nowhere.js', options); } };"
    browser = Browser(lasting, broken)
    await browser.tab()
    await browser.tab()
    await lasting.has_connections("maria", 1)


@pytest.mark.parametrize("without", WAYS.values(), ids=WAYS)
async def test_the_tab_that_has_the_connection_is_closed(lasting: Office, without: str) -> None:
    juan = await lasting.live("juan")
    browser = Browser(lasting, without)
    first, second = await browser.tab(), await browser.tab()
    await juan.sees(lasting.team, "maria", "online")
    await first.page.close()
    assert await second.choose("busy") is None
    await juan.sees(lasting.team, "maria", "busy")
    assert await juan.statuses_told("maria") == ["offline", "online", "busy"]
    await becomes_connected(lasting, "maria", 1)
    assert False not in [event["live"] for event in await second.events("feed")]


@pytest.mark.parametrize("without", WAYS.values(), ids=WAYS)
async def test_the_tab_that_has_the_connection_is_killed(windows: Windows, new_worker: NewWorker, without: str) -> None:
    """Its process dies, and a shared worker's in it too: another tab notices and goes on; teammates see nothing."""
    office = Office(windows, [new_worker(disconnect_grace=15, lease_ttl=25)])
    juan = await office.live("juan")
    browser = Browser(office, without)
    first, second = await browser.tab(), await browser.tab()
    await juan.sees(office.team, "maria", "online")
    crash = asyncio.create_task(command(first, "Page.crash"))
    crashed = asyncio.get_running_loop().create_future()
    first.page.once("crash", lambda _page: crashed.set_result(None))
    await crashed
    crash.cancel()
    await second.page.bring_to_front()
    await second.page.keyboard.press("Shift")
    assert await second.choose("busy") is None
    await juan.sees(office.team, "maria", "busy")
    assert await juan.statuses_told("maria") == ["offline", "online", "busy"]
    await becomes_connected(office, "maria", 1)
    await second.live()
    await office.close()


@pytest.mark.parametrize("without", WAYS.values(), ids=WAYS)
async def test_the_tab_that_has_the_connection_is_frozen(lasting: Office, without: str) -> None:
    """As browsers do with tabs in the background: another one leads, and when it thaws, it is right again."""
    juan = await lasting.live("juan")
    browser = Browser(lasting, without)
    first, second = await browser.tab(), await browser.tab()
    await juan.sees(lasting.team, "maria", "online")
    session = await first.page.context.new_cdp_session(first.page)
    await session.send("Page.setWebLifecycleState", {"state": "frozen"})
    await second.page.bring_to_front()
    assert await second.choose("busy") is None
    await juan.sees(lasting.team, "maria", "busy")
    await session.send("Page.setWebLifecycleState", {"state": "active"})
    await first.sees(lasting.team, "maria", "busy")
    await becomes_connected(lasting, "maria", 1)
    assert await juan.statuses_told("maria") == ["offline", "online", "busy"]


async def test_a_leader_that_stands_still_without_a_word_is_replaced(lasting: Office) -> None:
    """Not frozen by the book: it only does not answer. The tab in use takes over, with `replaces`."""
    juan = await lasting.live("juan")
    browser = Browser(lasting, WAYS["the tab that leads"])
    first, second = await browser.tab(), await browser.tab()
    await juan.sees(lasting.team, "maria", "online")
    session = await first.page.context.new_cdp_session(first.page)
    await session.send("Debugger.enable")
    await session.send("Debugger.pause")
    await second.page.bring_to_front()
    assert await second.choose("busy") is None
    await juan.sees(lasting.team, "maria", "busy")
    assert second.of_type("hello")[-1]["replaces"] == first.received[0]["connection"]
    await session.send("Debugger.resume")
    await session.send("Debugger.disable")
    await first.sees(lasting.team, "maria", "busy")
    await becomes_connected(lasting, "maria", 1)
    assert await juan.statuses_told("maria") == ["offline", "online", "busy"]


async def test_a_frozen_tab_that_is_alone_stays_connected(lasting: Office) -> None:
    juan = await lasting.live("juan")
    browser = Browser(lasting, WAYS["the tab that leads"])
    maria = await browser.tab()
    await juan.sees(lasting.team, "maria", "online")
    session = await maria.page.context.new_cdp_session(maria.page)
    await session.send("Page.setWebLifecycleState", {"state": "frozen"})
    # Longer than a lost connection would be forgiven.
    await asyncio.sleep(2.5)
    await lasting.has_connections("maria", 1)
    await session.send("Page.setWebLifecycleState", {"state": "active"})
    await maria.live()
    assert await juan.statuses_told("maria") == ["offline", "online"]


@pytest.mark.parametrize("without", WAYS.values(), ids=WAYS)
async def test_from_page_to_page_and_back_teammates_see_nothing(
    windows: Windows, new_worker: NewWorker, without: str
) -> None:
    """Navigation, and the back/forward cache."""
    office = Office(windows, [new_worker(disconnect_grace=8, lease_ttl=15)])
    juan = await office.live("juan")
    browser = Browser(office, without)
    maria = await browser.tab()
    await juan.sees(office.team, "maria", "online")
    await maria.page.evaluate("window.marked = true;")
    await maria.page.goto(f"{office.origins[0]}/healthz?elsewhere")
    await maria.page.go_back(wait_until="commit")
    if not await maria.page.evaluate("window.marked ?? false"):
        # Chromium did not keep it: the page starts anew, as pages do.
        await maria.start(tabs="shared")
    await maria.live()
    assert await maria.choose("busy") is None
    await juan.sees(office.team, "maria", "busy")
    assert await juan.statuses_told("maria") == ["offline", "online", "busy"]
    await office.close()


async def test_a_page_put_away_closes_and_comes_back(lasting: Office) -> None:
    """An open socket would keep a page out of the back/forward cache."""
    maria = await lasting.live("maria")
    await maria.run("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }));")
    assert await maria.run("return client.state;") == "closed"
    assert maria.of_type("logout") == []
    await maria.run("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));")
    await maria.live()
    assert len(await maria.sends("hello", 2)) == 2


async def test_reload_shows_teammates_nothing(windows: Windows, new_worker: NewWorker) -> None:
    office = Office(windows, [new_worker(disconnect_grace=8, lease_ttl=15)])
    juan, maria = await office.live("juan"), await office.live("maria")
    await juan.sees(office.team, "maria", "online")
    await maria.start_on_load()
    await maria.page.reload()
    await maria.live()
    assert await maria.choose("busy") is None
    await juan.sees(office.team, "maria", "busy")
    assert await juan.statuses_told("maria") == ["offline", "online", "busy"]


async def test_leaving_the_page_is_a_disconnection(lasting: Office) -> None:
    juan, maria = await lasting.live("juan"), await lasting.live("maria")
    await juan.sees(lasting.team, "maria", "online")
    await maria.page.goto("about:blank")
    await juan.sees(lasting.team, "maria", "offline")
    assert (await juan.get("maria") or {})["reason"] == "disconnected"


async def test_too_many_of_one_user_park_the_one_that_nobody_looks_at(windows: Windows, new_worker: NewWorker) -> None:
    """4504: the tab in use is never stopped; the other comes back when it is looked at."""
    office = Office(windows, [new_worker(max_connections_per_user=1)])
    page = await office.page()
    await page.add_init_script(
        "Object.defineProperty(document, 'visibilityState', { get: () => window.seen ? 'visible' : 'hidden' });"
    )
    await page.reload()
    token = mint("maria", [office.team])
    hidden = await (await Tab.open(page, lambda _why: token)).live()
    await office.live("maria")
    await hidden.until("client.state === 'parked'")
    assert await hidden.events("signedout") == []
    assert (await hidden.events("connection"))[-1]["code"] == 4504
    await hidden.run("window.seen = true; document.dispatchEvent(new Event('visibilitychange'));")
    await hidden.live()


async def test_a_question_that_has_to_wait_is_no_sign_of_a_dead_leader(lasting: Office, new_worker: NewWorker) -> None:
    """The hub says that it lives, however long the server takes to answer: nobody takes over."""
    worker = new_worker(ping_timeout=60)
    office = Office(lasting.windows, [worker])
    browser = Browser(office, WAYS["the tab that leads"])
    _first, second = await browser.tab(), await browser.tab()
    worker.pause()
    await second.run("window.answer = client.explain().then(({ status }) => status, ({ code }) => code);")
    await asyncio.sleep(4)
    worker.resume()
    # Of a worker that stood still, anything may be true meanwhile.
    assert await second.run("return window.answer;") in ("online", "offline")
    assert second.sockets == 0
