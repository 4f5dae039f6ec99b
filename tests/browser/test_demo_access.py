"""The demo page without a mouse, without colours, and in two languages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_demo import Demo, demo, member
from tests.browser.windows import STATIC, Windows

__all__ = ["demo"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def focused(page: Page) -> str:
    text: str = await page.evaluate("document.activeElement.innerText.split('\\n')[0].trim()")
    return text


async def test_status_menu_by_keyboard_alone(demo: Demo) -> None:
    maria = await demo.window("maria")
    button = maria.locator("#own")
    while not await button.evaluate("(button) => button === document.activeElement"):
        await maria.keyboard.press("Tab")
    await expect(button).to_have_attribute("aria-expanded", "false")
    await maria.keyboard.press("Enter")
    await expect(button).to_have_attribute("aria-expanded", "true")
    order = [await focused(maria)]
    for _ in range(4):
        await maria.keyboard.press("ArrowDown")
        order.append(await focused(maria))
    assert order == ["Online", "Busy", "Offline", "Sign out", "Online"]
    await maria.keyboard.press("ArrowUp")
    assert await focused(maria) == "Sign out"
    await maria.keyboard.press("Home")
    await maria.keyboard.press("b")
    assert await focused(maria) == "Busy"
    await maria.keyboard.press("Space")
    await expect(maria.get_by_role("menu")).to_be_hidden()
    await expect(button).to_be_focused()
    await expect(member(maria, "maria")).to_have_attribute("data-status", "busy")
    await expect(maria.locator("#announcer")).to_have_text("Your status: Busy")

    await maria.keyboard.press("ArrowUp")
    assert await focused(maria) == "Sign out"
    await maria.keyboard.press("Escape")
    await expect(maria.get_by_role("menu")).to_be_hidden()
    await expect(button).to_be_focused()
    await maria.keyboard.press("ArrowDown")
    await maria.keyboard.press("Tab")
    await expect(maria.get_by_role("menu")).to_be_hidden()


async def test_offline_cannot_be_picked_and_says_why(demo: Demo) -> None:
    maria = await demo.window("maria")
    await maria.locator("#own").click()
    offline = maria.get_by_role("menuitemradio", name="Offline")
    await expect(offline).to_have_attribute("aria-disabled", "true")
    await expect(offline).to_have_accessible_description("Comes by itself when you are away or sign out")
    await offline.click(force=True)
    await expect(offline).to_be_visible()
    await maria.keyboard.press("Enter")
    await expect(maria.get_by_role("menuitemradio", name="Online")).to_have_attribute("aria-checked", "true")
    await expect(member(maria, "maria")).to_have_attribute("data-status", "online")


async def test_every_control_and_avatar_has_a_name(demo: Demo) -> None:
    maria = await demo.window("maria")
    await maria.locator("#own").click()
    tree = await maria.locator("body").aria_snapshot()
    nameless = [
        line.strip()
        for line in tree.splitlines()
        if re.match(r"- (button|img|menuitem\w*|textbox)\s*:?$", line.strip())
    ]
    assert nameless == []
    for expected in [
        'button "María García, Online. Change status"',
        'menuitemradio "Online" [checked]',
        'menuitemradio "Offline" [disabled]',
        'menuitem "Sign out"',
        'button "Tom Becker',
        'heading "Team"',
        'region "Inbox"',
    ]:
        assert expected in tree
    await expect(maria.get_by_role("img", name=re.compile("^María García – Online since ")).first).to_be_visible()


async def test_language_follows_the_browser_and_can_be_switched(demo: Demo) -> None:
    maria = await demo.window("maria", locale="es-AR")
    await expect(maria.locator("html")).to_have_attribute("lang", "es")
    await expect(maria.get_by_role("heading", name="Equipo")).to_be_visible()
    await expect(maria.locator("#own-status")).to_have_text("En línea")
    await expect(maria.get_by_role("img", name=re.compile("^María García – En línea desde ")).first).to_be_visible()
    await maria.get_by_role("button", name="English").click()
    await expect(maria.get_by_role("heading", name="Team")).to_be_visible()
    await expect(maria.locator("#own-status")).to_have_text("Online")
    await maria.reload()
    await expect(maria.get_by_role("heading", name="Team")).to_be_visible()


async def test_every_word_is_there_in_both_languages(modules: Page) -> None:
    words = await modules.evaluate("async () => (await import('/static/i18n.js')).WORDS")
    assert words["en"].keys() == words["es"].keys()
    used = set(re.findall(r'data-i18n(?:-\w+)?="([^"]+)"', (STATIC / "index.html").read_text()))
    for script in STATIC.glob("demo*.js"):
        used |= set(re.findall(r'\bt\("([\w.]+)"', script.read_text()))
    assert used <= words["en"].keys()
    for key, text in words["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", words["es"][key])), key


async def test_motion_is_spared_who_asks_for_it(demo: Demo) -> None:
    maria = await demo.window("maria", reduced_motion="reduce")
    await maria.locator("#own").click()
    await maria.get_by_role("menu").get_by_text("Busy", exact=True).click()
    await expect(member(maria, "maria")).to_have_attribute("data-status", "busy")
    assert await maria.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_page_is_drawn_in_both_schemes(demo: Demo, scheme: Any) -> None:
    maria = await demo.window("maria", color_scheme=scheme)
    background = await maria.evaluate("getComputedStyle(document.querySelector('.inbox')).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 25, 31)"}[scheme]
    await maria.locator("#own").click()
    await demo.picture(maria, f"6-menu-{scheme}")


async def test_nothing_on_the_page_needs_an_inline_script_or_style(windows: Windows, demo: Demo) -> None:
    page = await windows.open()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text) if "Content Security" in message.text else None)
    response = await page.goto(demo.workers[0].http_url + "/?user=juan")
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    await expect(member(page, "juan")).to_have_attribute("data-status", "online")
    assert blocked == []
