"""What counts as input of a person, wherever in the page; what follows from it, and from its absence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.browser.office import Office
from tests.browser.tab import Tab
from tests.browser.windows import Windows
from tests.support.tokens import mint
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def short(windows: Windows, short_worker: Worker) -> AsyncIterator[Office]:
    """A team in which two seconds without input are idle."""
    office = Office(windows, [short_worker])
    yield office
    await office.close()


async def idle(tab: Tab) -> None:
    await tab.until("client.get('maria')?.reason === 'idle'")


async def test_only_a_person_s_input_ends_idling(short: Office) -> None:
    maria, juan = await short.live("maria"), await short.live("juan")
    await idle(maria)
    beats = len(maria.of_type("heartbeat"))
    await maria.run(
        """for (const type of ["pointerdown", "pointermove", "keydown", "touchstart", "wheel", "input", "click"]) {
          document.body.dispatchEvent(new Event(type, { bubbles: true }));
        }
        document.body.style.height = "9999px";
        document.body.click();
        window.scrollTo(0, 500);"""
    )
    await maria.sends("heartbeat", beats + 1)
    assert (await maria.get("maria") or {})["status"] == "offline"
    await maria.page.mouse.move(100, 100)
    await maria.page.mouse.move(140, 120)
    await maria.sees(short.team, "maria", "online")
    assert (await maria.get("maria") or {})["reason"] == "active"
    await juan.page.keyboard.press("Shift")
    await juan.sees(short.team, "juan", "online")


@pytest.mark.parametrize("frame", ["srcdoc", "nested", "written", "late"])
async def test_typing_in_a_frame_of_the_same_origin_is_input(short: Office, frame: str) -> None:
    """Rich-text editors are frames: written by script, added later, or one in another."""
    page = await short.page()
    add = """(kind) => {
      const frame = document.createElement("iframe");
      if (kind !== "written") frame.srcdoc = kind === "nested" ? "<iframe srcdoc='<input>'></iframe>" : "<input>";
      document.body.append(frame);
      if (kind === "written") {
        const inner = frame.contentDocument;
        inner.open();
        inner.write("<input>");
        inner.close();
      }
    }"""
    if frame != "late":
        await page.evaluate(add, frame)
    token = mint("maria", [short.team])
    maria = await (await Tab.open(page, lambda _why: token)).live()
    if frame == "late":
        await page.evaluate(add, frame)
    box = (
        page.frame_locator("iframe").frame_locator("iframe") if frame == "nested" else page.frame_locator("iframe")
    ).locator("input")
    await box.focus()
    await idle(maria)
    await box.press("a")
    await maria.sees(short.team, "maria", "online")


async def test_input_that_only_the_page_knows_of_is_told_by_it(short: Office) -> None:
    maria = await short.live("maria")
    await idle(maria)
    await maria.run("client.activity();")
    await maria.sees(short.team, "maria", "online")
    assert (await maria.get("maria") or {})["reason"] == "active"


async def test_dictation_and_input_methods_are_input(short: Office) -> None:
    """Text that comes without a key, as from speech, a paste menu, or an input method."""
    page = await short.page()
    await page.evaluate("document.body.append(document.createElement('textarea'))")
    token = mint("maria", [short.team])
    maria = await (await Tab.open(page, lambda _why: token)).live()
    await page.locator("textarea").focus()
    await idle(maria)
    session = await page.context.new_cdp_session(page)
    await session.send("Input.insertText", {"text": "dictated"})
    await maria.sees(short.team, "maria", "online")
    await idle(maria)
    await session.send("Input.imeSetComposition", {"text": "に", "selectionStart": 1, "selectionEnd": 1})
    await maria.sees(short.team, "maria", "online")


async def test_input_in_any_tab_counts_for_all(short: Office) -> None:
    maria = await short.live("maria", sid="s1", tabs="shared")
    other = await short.live("maria", sid="s1", beside=maria, tabs="shared")
    await idle(maria)
    await other.page.bring_to_front()
    await other.page.keyboard.press("Shift")
    await maria.sees(short.team, "maria", "online")
    await other.sees(short.team, "maria", "online")


async def test_a_page_that_reloads_itself_is_no_one_s_activity(short: Office, short_worker: Worker) -> None:
    maria = await short.live("maria")
    await idle(maria)
    idle_ms = (await maria.sends("heartbeat"))[-1]["idle_ms"]
    await maria.start_on_load()
    await maria.page.reload()
    hello = (await maria.sends("hello", 2))[-1]
    assert hello["idle_ms"] >= idle_ms > 1_000
    await maria.live()
    assert (await maria.get("maria") or {})["status"] == "offline"

    await maria.page.goto(f"{short_worker.http_url}/healthz?somebody-went-here")
    hello = (await maria.sends("hello", 3))[-1]
    assert hello["idle_ms"] < 1_000
    await maria.sees(short.team, "maria", "online")


async def test_a_page_that_was_opened_unseen_is_no_one_s_activity(short: Office) -> None:
    """A browser that restores its windows in the morning makes nobody online who is not there."""
    page = await short.page()
    await page.add_init_script(
        "window.unseen = true;"
        "Object.defineProperty(document, 'visibilityState', { get: () => (window.unseen ? 'hidden' : 'visible') });"
    )
    token = mint("maria", [short.team])
    maria = Tab(page, lambda _why: token)
    await page.expose_function("mintToken", lambda _why: token)
    await maria.start_on_load()
    await page.goto(f"{short.origins[0]}/healthz?restored")
    assert (await maria.sends("hello"))[0]["idle_ms"] > 86_400_000
    await maria.live()
    assert (await maria.get("maria") or {})["status"] == "offline"
    await maria.run("window.unseen = false; document.dispatchEvent(new Event('visibilitychange'));")
    await maria.sees(short.team, "maria", "online")


async def test_who_keeps_typing_stays_online_however_short_the_timeout(short: Office) -> None:
    maria, juan = await short.live("maria"), await short.live("juan")
    await short.api().set_idle_timeout(4)
    await maria.until("client.self()?.idleTimeoutMs === 4000")
    await maria.page.keyboard.press("a")
    await juan.sees(short.team, "maria", "online")
    beats, before = len(maria.of_type("heartbeat")), len(await juan.told("maria"))
    for _ in range(25):
        await maria.page.keyboard.press("a", delay=200)
    assert len(maria.of_type("heartbeat")) >= beats + 4
    assert len(await juan.told("maria")) == before


async def test_hidden_beyond_the_timeout_is_idle_and_back_when_looked_at(short: Office) -> None:
    """Two tabs and a phone: nobody is idle while one of them is used, and all are right afterwards."""
    laptop = await short.live("maria", sid="s1")
    phone = await short.live("maria", sid="s2")
    juan = await short.live("juan")
    await short.api().set_idle_timeout(5)
    await laptop.until("client.self()?.idleTimeoutMs === 5000")
    await laptop.page.keyboard.press("Shift")
    await juan.sees(short.team, "maria", "online")
    before = len(await juan.told("maria"))
    for _ in range(16):
        await phone.page.keyboard.press("Shift")
        await asyncio.sleep(0.4)
    assert len(await juan.told("maria")) == before
    await idle(juan)
    await laptop.sees(short.team, "maria", "offline")
    await laptop.page.keyboard.press("Shift")
    await juan.sees(short.team, "maria", "online")
    assert [each["status"] for each in (await juan.told("maria"))[before:]] == ["offline", "online"]


# --- warnings ---------------------------------------------------------------------------------------------------------


async def test_it_is_said_before_idling_shows_and_taken_back_by_input(short: Office) -> None:
    maria = await short.live("maria")
    other = await short.live("maria", beside=maria)
    await short.api().set_idle_timeout(6)
    await maria.until("client.self().idleTimeoutMs === 6000")
    await maria.page.bring_to_front()
    await maria.page.keyboard.press("Shift")
    await maria.until("client.get('maria').status === 'online'")
    await maria.run("events.length = 0;")
    await maria.until("events.some(({ type, offlineAt }) => type === 'warning' && offlineAt)")
    warning = (await maria.events("warning"))[-1]
    assert warning["team"] == short.team
    left_ms = warning["offlineAt"] - await maria.run("return client.serverNow();")
    assert 0 < left_ms <= 2_100
    assert (await maria.get("maria") or {})["status"] == "online"
    await maria.page.keyboard.press("Shift")
    await maria.until("events.filter(({ type }) => type === 'warning').at(-1).offlineAt === null")
    # Left alone, it comes true to the second.
    await maria.until("events.filter(({ type }) => type === 'warning').length === 3")
    promised = (await maria.events("warning"))[-1]["offlineAt"]
    await idle(maria)
    since = (await maria.get("maria") or {})["since"]
    assert abs(since - promised) < 1_700
    await maria.until("events.filter(({ type }) => type === 'warning').at(-1).offlineAt === null")
    await other.page.close()


async def test_nobody_is_warned_who_is_active_elsewhere(short: Office) -> None:
    laptop, phone = await short.live("maria", sid="s1"), await short.live("maria", sid="s2")
    await short.api().set_idle_timeout(9)
    await laptop.until("client.self().idleTimeoutMs === 9000")
    await phone.page.keyboard.press("Shift")
    await laptop.until("client.get('maria').status === 'online'")
    before = len(await laptop.events("warning"))
    for _ in range(22):
        await phone.page.keyboard.press("Shift")
        await asyncio.sleep(0.4)
    assert [event for event in (await laptop.events("warning"))[before:] if event["offlineAt"]] == []
    await laptop.until("events.filter(({ type }) => type === 'warning').slice(given).some((e) => e.offlineAt)", before)
