"""One's own menu, and the banner, on a page whose server says what the test wants."""

from __future__ import annotations

import re
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.browser.gallery import Gallery
from tests.browser.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTENT = '<presence-menu name="María García"></presence-menu><presence-banner></presence-banner>'


@pytest_asyncio.fixture(loop_scope="session")
async def gallery(windows: Windows) -> Gallery:
    gallery = await Gallery.open(windows, CONTENT)
    await gallery.people(maria="online")
    await expect(status(gallery)).to_have_text("Online")
    return gallery


def status(gallery: Gallery) -> Locator:
    return gallery.page.locator("presence-menu [part=status]")


def item(gallery: Gallery, name: str) -> Locator:
    return gallery.page.get_by_role("menuitemradio", name=name)


def banner(gallery: Gallery) -> Locator:
    return gallery.page.locator("presence-banner [part=banner]")


async def opened(gallery: Gallery) -> Locator:
    await gallery.page.locator("presence-menu").click()
    menu = gallery.page.get_by_role("menu")
    await expect(menu).to_be_visible()
    return menu


async def focused(gallery: Gallery) -> str:
    text: str = await gallery.page.evaluate(
        "document.activeElement.shadowRoot?.activeElement?.children[1]?.textContent ?? ''"
    )
    return text


async def test_choosing_is_stored_and_shown_by_the_server_s_word(gallery: Gallery) -> None:
    menu = await opened(gallery)
    await expect(item(gallery, "Online")).to_have_attribute("aria-checked", "true")
    await gallery.run("void (room.gate = new Promise((open) => { room.open = open; }))")
    await item(gallery, "Busy").click()
    await expect(menu).to_be_hidden()
    await expect(status(gallery)).to_have_text("Saving…")
    await gallery.run("room.open()")
    await expect(status(gallery)).to_have_text("Busy")
    await expect(gallery.page.locator("presence-menu presence-avatar")).to_have_attribute("status", "busy")
    await opened(gallery)
    await expect(item(gallery, "Busy")).to_have_attribute("aria-checked", "true")
    await expect(item(gallery, "Online")).to_have_attribute("aria-checked", "false")


async def test_a_choice_that_fails_says_so_without_the_server_s_words(gallery: Gallery) -> None:
    await gallery.run("void (room.refusal = 'not_a_member')")
    await opened(gallery)
    await item(gallery, "Busy").click()
    await expect(status(gallery)).to_have_text("Not saved. Choose again.")
    await expect(gallery.page.locator("presence-menu [role=status]")).to_have_text("Not saved. Choose again.")


async def test_offline_is_there_not_to_be_chosen_and_says_why(gallery: Gallery) -> None:
    await opened(gallery)
    offline = item(gallery, "Offline")
    await expect(offline).to_have_attribute("aria-disabled", "true")
    await expect(offline).to_have_accessible_description("By itself after 10 min without activity")
    await offline.click(force=True)
    await expect(offline).to_be_visible()
    await gallery.run("room.own({ chosen: 'busy' })")
    await gallery.people(maria={"status": "offline", "reason": "idle"})
    await expect(offline).to_have_accessible_description("No activity. Back to Busy with your first input")
    await expect(status(gallery)).to_have_text("Offline, no activity")
    assert await gallery.run("room.sent.filter(({ type }) => type === 'set_status')") == []


async def test_by_keyboard_alone(gallery: Gallery) -> None:
    page = gallery.page
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menu")).to_be_visible()
    order = []
    for _ in range(5):
        await expect(page.locator("presence-menu .item:focus")).to_have_count(1)
        order.append(await focused(gallery))
        await page.keyboard.press("ArrowDown")
    assert order == ["Online", "Busy", "Offline", "Sign out", "Online"]
    for key, expected in [("End", "Sign out"), ("ArrowUp", "Offline"), ("Home", "Online"), ("ArrowUp", "Sign out")]:
        await page.keyboard.press(key)
        assert await focused(gallery) == expected
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("menu")).to_be_hidden()
    await expect(page.locator("presence-menu [part=button]")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("presence-menu .item:focus")).to_have_count(1)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Space")
    await expect(status(gallery)).to_have_text("Busy")
    await expect(page.locator("presence-menu [part=button]")).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(page.locator("presence-menu .item:focus")).to_have_count(1)
    assert await focused(gallery) == "Busy"
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("menu")).to_be_hidden()


async def test_a_page_can_do_by_itself_what_is_chosen(gallery: Gallery) -> None:
    await gallery.run(
        """void ["presence-choose", "presence-signout"].forEach((type) =>
          place.addEventListener(type, (event) => { event.preventDefault(); room[type] = event.detail ?? {}; }))"""
    )
    await opened(gallery)
    await item(gallery, "Busy").click()
    await opened(gallery)
    await gallery.page.get_by_role("menuitem", name="Sign out").click()
    assert await gallery.run("[room['presence-choose'], room['presence-signout']]") == [{"status": "busy"}, {}]
    assert await gallery.run("room.sent.filter(({ type }) => type !== 'hello' && type !== 'heartbeat')") == []
    assert await gallery.run("client.state") == "open"


async def test_signing_out_ends_the_session_and_says_so(gallery: Gallery) -> None:
    await opened(gallery)
    await gallery.page.get_by_role("menuitem", name="Sign out").click()
    await gallery.becomes("client.state", "stopped")
    await expect(banner(gallery)).to_contain_text("You have been signed out.")
    await gallery.run(
        "void place.addEventListener('presence-signin', (event) => { event.preventDefault(); room.asked = true; })"
    )
    await gallery.page.get_by_role("button", name="Sign in").click()
    assert await gallery.run("room.asked")


async def test_changes_of_one_s_own_are_read_out_and_what_stands_there_is_not(gallery: Gallery) -> None:
    live = gallery.page.locator("presence-menu [role=status]")
    await expect(live).to_have_text("")
    await gallery.people(maria="busy")
    await expect(live).to_have_text("Busy")


@pytest.mark.parametrize("place", ["start", "end"])
@pytest.mark.parametrize("size", [(1280, 800), (320, 400), (320, 256)])
async def test_the_menu_fits_the_window(windows: Windows, place: str, size: tuple[int, int]) -> None:
    width, height = size
    gallery = await Gallery.open(windows, CONTENT, viewport={"width": width, "height": height})
    await gallery.people(maria="online")
    for direction in ("ltr", "rtl"):
        await gallery.run(
            "void (document.documentElement.dir = given[0], place.style.cssText ="
            " `position:fixed; inset-inline-${given[1]}: 0; inset-block-${given[1]}: 0`)",
            [direction, place],
        )
        box = await (await opened(gallery)).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
        await gallery.page.keyboard.press("Escape")


async def test_banner_says_nothing_while_all_is_well(gallery: Gallery) -> None:
    await expect(banner(gallery)).to_be_hidden()
    await expect(gallery.page.locator("presence-banner [role=status]")).to_have_count(1)


async def test_banner_tells_of_statuses_that_may_be_out_of_date(gallery: Gallery) -> None:
    await gallery.run("room.feed(false)")
    await expect(banner(gallery)).to_contain_text("Statuses may be out of date.")
    await gallery.run("room.feed(true)")
    await expect(banner(gallery)).to_be_hidden()
    await gallery.run("void (room.deaf = true, room.end(1006))")
    await expect(banner(gallery)).to_contain_text("Reconnecting")
    await gallery.run("void (room.deaf = false, client.connect())")
    await expect(banner(gallery)).to_be_hidden()


async def test_banner_warns_before_one_is_offline_and_takes_i_am_here(gallery: Gallery) -> None:
    await gallery.run("room.own({ idle_timeout_ms: 6_000 })")
    text = gallery.page.locator("presence-banner [part=text]")
    await expect(text).to_have_text(re.compile(r"^You will appear offline in \d sec\.$"))
    spoken = await gallery.page.locator("presence-banner .hidden").text_content()
    first = await text.text_content()
    await expect(text).not_to_have_text(first or "")
    # It counts down for the eye, and is said once.
    assert await gallery.page.locator("presence-banner .hidden").text_content() == spoken
    await gallery.run("void (room.explained = { next_change_at: Date.now() + 60_000 })")
    before = await gallery.run("room.sent.filter(({ type }) => type === 'heartbeat').length")
    # By a script, which is no input that a page could see.
    await gallery.page.locator("presence-banner [part=button]").evaluate("(button) => button.click()")
    await expect(banner(gallery)).to_be_hidden()
    await gallery.becomes(f"room.sent.filter(({{ type }}) => type === 'heartbeat').length > {before}", True)


async def test_banner_offers_a_paused_window_to_be_used(windows: Windows) -> None:
    gallery = await Gallery.open(windows, CONTENT)
    await gallery.run(
        "void (Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true }),"
        " Object.defineProperty(document, 'hasFocus', { value: () => false }),"
        " document.dispatchEvent(new Event('visibilitychange')), room.end(4504))"
    )
    await gallery.becomes("client.state", "parked")
    await expect(banner(gallery)).to_contain_text("Open in too many windows. This one is paused.")
    await gallery.page.locator("presence-banner [part=button]").evaluate("(button) => button.click()")
    await gallery.becomes("client.state", "open")
    await expect(banner(gallery)).to_be_hidden()


async def test_banner_moves_nothing(gallery: Gallery) -> None:
    before: Any = await gallery.page.locator("h1").bounding_box()
    await gallery.run("room.feed(false)")
    await expect(banner(gallery)).to_be_visible()
    assert await gallery.page.locator("h1").bounding_box() == before
