"""The demo without a mouse, without colours, four times as large, and in two languages."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import violations
from tests.browser.stage import Stage, choose, member, own_status
from tests.browser.test_demo import stage
from tests.browser.windows import STATIC, Windows

__all__ = ["stage"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

DEMO: Path = STATIC / "demo"


@pytest.mark.parametrize(("scheme", "locale"), list(itertools.product(["light", "dark"], ["en-US", "es-AR"])))
async def test_axe_finds_nothing(stage: Stage, scheme: Any, locale: str) -> None:
    maria = await stage.window("maria", color_scheme=scheme, locale=locale)
    found = {"application": await violations(maria)}
    await maria.locator("#own").click()
    await expect(maria.get_by_role("menu")).to_be_visible()
    found["menu"] = await violations(maria)
    await stage.picture(maria, f"menu-{scheme}-{locale}")
    await maria.keyboard.press("End")
    await maria.keyboard.press("Enter")
    await expect(maria.locator("#sign-in-notice")).to_be_visible()
    found["signed out"] = await violations(maria)
    front = await stage.front(color_scheme=scheme, locale=locale)
    await expect(front.frame_locator("iframe").first.locator('.member[data-status="online"]').first).to_be_visible()
    found["front page"] = await violations(front)
    await stage.picture(front, f"front-{scheme}-{locale}")
    assert {place: each for place, each in found.items() if each} == {}


@pytest.mark.parametrize("size", [(320, 256), (390, 800), (640, 700), (900, 800), (1280, 800)])
async def test_page_fits_every_width(stage: Stage, size: tuple[int, int]) -> None:
    width, height = size
    viewport = {"width": width, "height": height}
    for page in (await stage.window("maria", viewport=viewport), await stage.front(viewport=viewport)):
        for pane in ("inbox", "thread", "team"):
            await page.evaluate("(pane) => document.getElementById('app')?.setAttribute('data-pane', pane)", pane)
            overflow = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert overflow <= 0, f"Expected no sideways scrolling in {pane} at {width} px, got {overflow} px"


async def test_focus_follows_where_the_conversation_takes_the_list_s_place(stage: Stage) -> None:
    maria = await stage.window("maria", viewport={"width": 700, "height": 800})
    await maria.locator(".row").nth(1).focus()
    await maria.keyboard.press("Enter")
    await expect(maria.locator("#thread-title")).to_be_focused()
    await maria.get_by_role("button", name="Back to the inbox").click()
    await expect(maria.locator(".row").nth(1)).to_be_focused()


async def test_every_control_and_avatar_has_a_name(stage: Stage) -> None:
    maria = await stage.window("maria")
    await maria.locator("#own").click()
    tree = await maria.locator("body").aria_snapshot()
    nameless = [
        line.strip()
        for line in tree.splitlines()
        if re.match(r"- (button|img|menuitem\w*|textbox)\s*:?$", line.strip())
    ]
    assert nameless == []
    for expected in [
        'button "María García Online Change status"',
        'menuitemradio "Online" [checked]',
        'menuitemradio "Offline" [disabled]',
        'menuitem "Sign out"',
        'button "Tom Becker',
        'heading "Team"',
        'region "Inbox"',
    ]:
        assert expected in tree


async def test_language_follows_the_browser_and_can_be_switched_everywhere_at_once(stage: Stage) -> None:
    front = await stage.front(locale="es-AR")
    application = front.frame_locator("iframe").first
    await expect(front.locator("html")).to_have_attribute("lang", "es")
    await expect(application.get_by_role("heading", name="Equipo")).to_be_visible()
    await expect(application.locator("#own [part=status]")).to_have_text("En línea")
    await front.get_by_role("button", name="English").click()
    await expect(front.get_by_role("heading", name="In your own page")).to_be_visible()
    await expect(application.get_by_role("heading", name="Team")).to_be_visible()
    await expect(application.locator("#own [part=status]")).to_have_text("Online")
    await front.reload()
    await expect(application.get_by_role("heading", name="Team")).to_be_visible()


def used_words() -> set[str]:
    used: set[str] = set()
    for page in DEMO.glob("*.html"):
        used |= set(re.findall(r'data-i18n(?:-\w+)?="([^"]+)"', page.read_text()))
    for script in DEMO.glob("*.js"):
        used |= set(re.findall(r'\bt\("([\w.]+)"', script.read_text()))
    return used


async def test_every_word_is_there_in_both_languages(modules: Page) -> None:
    words = await modules.evaluate("async () => (await import('/static/demo/words.js')).WORDS")
    assert words["en"].keys() == words["es"].keys()
    assert used_words() <= words["en"].keys()
    for key, text in words["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", words["es"][key])), key


async def test_motion_is_spared_who_asks_for_it(stage: Stage) -> None:
    maria = await stage.window("maria", reduced_motion="reduce")
    await choose(maria, "Busy")
    await expect(member(maria, "maria")).to_have_attribute("data-status", "busy")
    await expect(own_status(maria)).to_have_text("Busy")
    assert await maria.evaluate("document.getAnimations().length") == 0


async def test_nothing_on_the_page_needs_an_inline_script_or_style(windows: Windows, stage: Stage) -> None:
    page = await windows.open()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text) if "Content Security" in message.text else None)
    for path in ("/", "/demo/app?user=juan"):
        response = await page.goto(stage.workers[0].http_url + path)
        assert response is not None
        policy = response.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
    await expect(member(page, "juan")).to_have_attribute("data-status", "online")
    assert blocked == []
