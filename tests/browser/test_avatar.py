"""The avatar element: its dot speaks by shape, colour and words (presence-avatar.js)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.windows import Windows

pytestmark = pytest.mark.asyncio(loop_scope="session")

BACKGROUNDS = {"light": ["#ffffff", "#f3f4f7", "#eaeefc"], "dark": ["#000000", "#16191f", "#20294a"]}
NOON = datetime(2025, 11, 22, 12, tzinfo=UTC)

SHOW = """async (avatars) => {
  const { PresenceAvatar } = await import("/static/presence-avatar.js");
  document.documentElement.style.colorScheme = "light dark";
  for (const attributes of avatars) {
    const avatar = document.createElement("presence-avatar");
    for (const [name, value] of Object.entries(attributes)) avatar.setAttribute(name, value);
    document.body.append(avatar);
  }
}"""

# The colour that a pixel gets, whatever notation the style has.
PAINT = """
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (color) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const inside = (avatar, selector) => avatar.shadowRoot.querySelector(selector);
"""


def since(instant: datetime) -> str:
    return str(int(instant.timestamp() * 1000))


@pytest_asyncio.fixture(loop_scope="session")
async def page(windows: Windows) -> Page:
    return await windows.open_modules()


async def show(page: Page, *avatars: dict[str, str]) -> None:
    await page.evaluate(SHOW, list(avatars))


async def read(page: Page, body: str, argument: object = None) -> Any:
    """Run `body` with all avatars of the page as `avatars` and the argument as `given`."""
    prelude = PAINT + "const avatars = [...document.querySelectorAll('presence-avatar')];"
    return await page.evaluate("(given) => {" + prelude + body + "}", argument)


def contrast(one: list[int], other: list[int]) -> float:
    """The contrast ratio of two sRGB colours (WCAG 2.2)."""

    def luminance(color: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in color)]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


async def test_each_status_has_a_shape_of_its_own(page: Page) -> None:
    await show(page, *({"name": "María", "status": status} for status in ("online", "busy", "offline")))
    # In the middle of the dot, and halfway from there to its rim.
    filled = await read(
        page,
        "return avatars.map((avatar) => [[6, 6], [6, 3]].map(([x, y]) => "
        "inside(avatar, 'path').isPointInFill(new DOMPoint(x, y))));",
    )
    assert filled == [[True, True], [False, True], [False, False]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_dots_stand_out_from_the_background(windows: Windows, scheme: Any) -> None:
    page = await windows.open_modules(color_scheme=scheme)
    await show(page, *({"name": "María", "status": status} for status in ("online", "busy", "offline")))
    dots = await read(page, "return avatars.map((avatar) => paint(getComputedStyle(inside(avatar, '.dot')).fill));")
    for background in BACKGROUNDS[scheme]:
        paint = await read(page, "return paint(given);", background)
        for dot in dots:
            assert contrast(dot, paint) >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_initials_can_be_read_on_every_colour(windows: Windows, scheme: Any) -> None:
    page = await windows.open_modules(color_scheme=scheme)
    await show(page, *({"user": f"user-{number}", "name": "María García"} for number in range(60)))
    pairs = await read(
        page,
        "return avatars.map((avatar) => { const { color, backgroundColor } = "
        "getComputedStyle(inside(avatar, '.picture')); return [paint(color), paint(backgroundColor)]; });",
    )
    assert len({tuple(background) for _, background in pairs}) > 12
    for color, background in pairs:
        assert contrast(color, background) >= 4.5


async def test_high_contrast_mode_keeps_the_shapes(windows: Windows) -> None:
    page = await windows.open_modules(forced_colors="active")
    await show(page, *({"name": "María", "status": status} for status in ("online", "busy", "offline")))
    fills, text = await read(
        page,
        "return [avatars.map((avatar) => paint(getComputedStyle(inside(avatar, '.dot')).fill)), paint('CanvasText')];",
    )
    assert fills == [text] * 3


async def test_name_status_and_time_are_its_accessible_name(windows: Windows) -> None:
    page = await windows.open_modules(timezone_id="UTC")
    await page.clock.install(time=NOON + timedelta(hours=1))
    await page.reload()
    await show(page, {"name": "María", "status": "busy", "since": since(NOON)})
    await expect(page.get_by_role("img", name="María – Busy since 12:00 PM")).to_be_visible()
    await show(page, {"name": "Juan", "status": "offline", "since": since(NOON - timedelta(days=1))})
    await expect(page.get_by_role("img", name="Juan – Offline since Nov 21, 2025, 12:00 PM")).to_be_visible()


async def test_accessible_name_without_a_time_or_a_status(page: Page) -> None:
    await show(page, {"name": "Ana", "status": "online"}, {"name": "Kenji"}, {"user": "liam"}, {"status": "busy"})
    labels = await read(page, "return avatars.map((avatar) => avatar.getAttribute('aria-label'));")
    assert labels == ["Ana – Online", "Kenji", "liam", "Busy"]


async def test_stale_status_says_so(page: Page) -> None:
    await show(page, {"name": "María", "status": "busy", "stale": ""}, {"name": "María", "status": "busy"})
    await expect(page.get_by_title("María – Busy (may be out of date)")).to_have_count(1)
    stale, fresh = await read(
        page, "return avatars.map((avatar) => Number(getComputedStyle(inside(avatar, '.dot')).opacity));"
    )
    assert stale < fresh == 1


async def test_language_changes_everywhere_at_once(page: Page) -> None:
    await show(page, {"name": "María", "status": "busy"})
    await page.evaluate(
        """async () => {
          const { PresenceAvatar } = await import("/static/presence-avatar.js");
          PresenceAvatar.speak("es", { busy: "Ocupado" });
        }"""
    )
    await expect(page.get_by_role("img", name="María – Ocupado")).to_be_visible()


async def test_attributes_can_change_at_any_time(page: Page) -> None:
    await show(page, {"user": "maria", "status": "online"})
    avatar = page.locator("presence-avatar")
    await avatar.evaluate("(it) => { it.setAttribute('name', 'María García'); it.setAttribute('status', 'offline'); }")
    await expect(page.get_by_role("img", name="María García – Offline")).to_be_visible()
    await avatar.evaluate("(it) => it.removeAttribute('status')")
    await expect(avatar.locator(".dot")).to_be_hidden()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("María García", "MG"),
        ("Ana Maria de Souza", "AS"),
        ("kenji", "K"),
        ("liam.oconnor", "LO"),
        ("Øystein Åse", "ØÅ"),
        ("😀 Smile", "😀S"),
        ("  ", ""),
        ("ß", "SS"),
    ],
)
async def test_initials(page: Page, name: str, expected: str) -> None:
    found = await page.evaluate(
        "async (name) => (await import('/static/presence-avatar.js')).initials(name)",
        name,
    )
    assert found == expected
