"""The elements for people who do not see, see colours, or use a mouse; and what they look like."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.axe import violations
from tests.browser.gallery import Gallery
from tests.browser.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTENT = """
<presence-avatar></presence-avatar>
<presence-dot></presence-dot>
<presence-dot user="juan"></presence-dot>
<presence-avatar user="maria" name="María García"></presence-avatar>
<presence-avatar user="juan" name="Juan Pérez" size="64"></presence-avatar>
<presence-avatar user="ana" name="Ana Souza" src="/static/favicon.svg"></presence-avatar>
<button><presence-avatar user="ana" name="Ana" aria-hidden="true"></presence-avatar> Ana</button>
<presence-menu name="María García"></presence-menu>
<presence-banner></presence-banner>
"""
STATES = {
    "nobody there": "0",
    "live": "room.set({ maria: 'online', juan: 'busy', ana: 'offline' })",
    "idle": "room.set({ maria: { status: 'offline', reason: 'idle' } })",
    "stale": "room.feed(false)",
    "signed out": "room.end(4506)",
}
LOOKS: list[dict[str, Any]] = [
    {"color_scheme": "light"},
    {"color_scheme": "dark"},
    {"color_scheme": "dark", "forced_colors": "active"},
]


@pytest.mark.parametrize(("look", "language"), list(itertools.product(LOOKS, ["en", "es"])))
async def test_axe_finds_nothing_in_any_state(windows: Windows, look: dict[str, Any], language: str) -> None:
    gallery = await Gallery.open(windows, CONTENT, **look)
    await gallery.run("void (document.documentElement.lang = given)", language)
    found = {}
    for state, change in STATES.items():
        await gallery.run(f"void ({change})")
        if state == "stale":
            await expect(gallery.page.locator("presence-banner [part=banner]")).to_be_visible()
        if state == "signed out":
            await gallery.becomes("client.state", "stopped")
        else:
            await gallery.page.locator("presence-menu").click()
            await expect(gallery.page.get_by_role("menu")).to_be_visible()
            found[f"{state}, menu"] = await violations(gallery.page)
            await gallery.page.keyboard.press("Escape")
        found[state] = await violations(gallery.page)
    assert {state: each for state, each in found.items() if each} == {}


async def test_shapes_differ_without_colours(windows: Windows) -> None:
    gallery = await Gallery.open(windows, forced_colors="active")
    await gallery.people(a="online", b="busy", c="offline")
    pictures = set()
    for user in "abc":
        await gallery.put(f'<presence-dot user="{user}"></presence-dot>')
        dot = gallery.page.locator(f"presence-dot[user={user}]")
        await expect(dot).to_have_attribute("status", {"a": "online", "b": "busy", "c": "offline"}[user])
        pictures.add(await dot.screenshot())
    assert len(pictures) == 3


async def test_motion_is_spared_who_asks_for_it(windows: Windows) -> None:
    gallery = await Gallery.open(windows, CONTENT, reduced_motion="reduce")
    for status in ("online", "busy", "offline"):
        await gallery.people(maria=status)
        await expect(gallery.page.locator("div > presence-avatar[user=maria]")).to_have_attribute("status", status)
        assert await gallery.run("document.getAnimations().length") == 0


async def test_four_times_as_large_all_is_still_there(windows: Windows) -> None:
    # 1280 by 1024 at 400 %, as WCAG 1.4.10 has it.
    gallery = await Gallery.open(windows, CONTENT, viewport={"width": 320, "height": 256})
    await gallery.people(maria="online")
    await gallery.run("room.feed(false)")
    await expect(gallery.page.locator("presence-banner [part=banner]")).to_be_visible()
    assert await gallery.run("document.documentElement.scrollWidth") <= 320
    box = await gallery.page.locator("presence-banner [part=banner]").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320
