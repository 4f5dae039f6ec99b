"""The demo page, as people use it: two windows on two workers that share one Valkey."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.browser.windows import Windows
from tests.support.timing import SOON_S
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewWorker = Callable[..., Worker]
STALE = re.compile(r"\(may be out of date\)$")


class Demo:
    """The demo on two workers, and where its pictures go."""

    def __init__(self, windows: Windows, workers: list[Worker], pictures: Path) -> None:
        self._windows = windows
        self.workers = workers
        self._pictures = pictures

    async def window(self, user: str | None, *, on: int = 0, **options: object) -> Page:
        """Open the page, signed in as `user` and live, or showing the list of people."""
        url = self.workers[on].http_url + "/" + ("" if user is None else f"?user={user}")
        page = await self._windows.open(url, **options)
        if user is not None:
            await expect(member(page, user)).to_have_attribute("data-status", re.compile("online|busy"))
        return page

    async def picture(self, page: Page, name: str) -> None:
        """Keep a picture of the window."""
        folders = [self._pictures, *([Path(kept)] if (kept := os.environ.get("PRESENCE_SCREENSHOTS")) else [])]
        for folder in folders:
            await page.screenshot(path=folder / f"{name}.png", animations="disabled")


@pytest_asyncio.fixture(loop_scope="session")
async def demo(windows: Windows, new_worker: NewWorker, tmp_path: Path) -> Demo:
    return Demo(windows, [new_worker("demo"), new_worker("demo")], tmp_path)


def member(page: Page, user: str) -> Locator:
    """A person's entry in the team list."""
    return page.locator(f'.member[data-user="{user}"]')


async def shows(page: Page, user: str, status: str, reason: str) -> None:
    """The team list and every dot of the page show `user` so, and why."""
    await expect(member(page, user)).to_have_attribute("data-status", status)
    await expect(member(page, user)).to_contain_text(reason)
    wrong = page.locator(f'#app presence-avatar[user="{user}"]:not([status="{status}"])')
    await expect(wrong).to_have_count(0)
    await expect(page.locator(f'#conversations presence-avatar[user="{user}"][status="{status}"]')).not_to_have_count(0)


async def choose(page: Page, item: str) -> None:
    await page.locator("#own").click()
    await page.get_by_role("menu").get_by_text(item, exact=True).click()


async def test_two_people_see_each_other_s_status_change(demo: Demo) -> None:
    maria = await demo.window(None)
    await maria.get_by_role("button", name="Sign in as María García").click()
    juan = await demo.window("juan", on=1)
    await shows(juan, "maria", "online", "Signed in")
    await shows(maria, "juan", "online", "Signed in")
    await demo.picture(maria, "1-both-online")

    await choose(maria, "Busy")
    await shows(juan, "maria", "busy", "Own choice")
    await expect(maria.locator("#own-status")).to_have_text("Busy")
    label = await juan.locator('#conversations presence-avatar[user="maria"]').get_attribute("aria-label")
    assert label is not None
    assert label.startswith("María García – Busy since ")
    await demo.picture(juan, "2-maria-is-busy")

    await juan.get_by_role("button", name="5 sec").click()
    await expect(maria.get_by_role("button", name="5 sec")).to_have_attribute("aria-pressed", "true")
    await shows(juan, "maria", "offline", "No activity")
    await expect(maria.locator("#own-status")).to_have_text("Offline, no activity")
    await demo.picture(juan, "3-maria-is-away")

    await maria.mouse.move(300, 300)
    await maria.mouse.move(420, 380)
    await shows(juan, "maria", "busy", "Back again")
    await expect(maria.locator("#own-status")).to_have_text("Busy")

    await juan.get_by_role("button", name="10 min").click()
    await shows(juan, "juan", "online", "")
    await choose(maria, "Sign out")
    await expect(maria.get_by_text("You are signed out.")).to_be_visible()
    await shows(juan, "maria", "offline", "Signed out")
    await demo.picture(juan, "4-maria-signed-out")

    await maria.get_by_role("button", name="Sign in as María García").click()
    await shows(juan, "maria", "busy", "Signed in")


async def test_only_who_is_online_gets_contacts_in_turn(demo: Demo) -> None:
    maria, _juan, _ana = [await demo.window(user, on=on) for user, on in (("maria", 0), ("juan", 1), ("ana", 0))]
    await expect(member(maria, "ana")).to_have_attribute("data-status", "online")
    await choose(maria, "Busy")
    await expect(member(maria, "maria")).to_have_attribute("data-status", "busy")
    toast = maria.locator("#toast")
    assign = maria.get_by_role("button", name="Assign next contact")
    for customer, agent in [
        ("Valentina Cruz", "Ana Souza"),
        ("Marcus Hill", "Juan Pérez"),
        ("Diego Ramos", "Ana Souza"),
        ("Priya Nair", "Juan Pérez"),
    ]:
        await assign.click()
        await expect(toast).to_have_text(f"{customer} goes to {agent}.")
    await assign.click()
    await expect(toast).to_have_text("Every conversation is assigned.")


async def test_when_nobody_is_online_the_contact_waits(demo: Demo) -> None:
    maria = await demo.window("maria")
    await choose(maria, "Busy")
    await expect(member(maria, "maria")).to_have_attribute("data-status", "busy")
    await maria.get_by_role("button", name="Assign next contact").click()
    await expect(maria.locator("#toast")).to_have_text("Nobody is online. The contact waits.")


async def test_page_says_when_statuses_may_be_out_of_date(demo: Demo) -> None:
    maria = await demo.window("maria", on=1)
    banner = maria.locator("#banner")
    await expect(banner).to_be_hidden()
    demo.workers[1].kill()
    await expect(maria.get_by_text("Reconnecting… Statuses may be out of date.")).to_be_visible()
    await expect(member(maria, "maria").get_by_role("img")).to_have_attribute("title", STALE)
    await demo.picture(maria, "5-reconnecting")
    demo.workers[1].start()
    # The backoff has grown meanwhile.
    await expect(banner).to_be_hidden(timeout=6 * SOON_S * 1000)
    await expect(member(maria, "maria").get_by_role("img")).not_to_have_attribute("title", STALE)


async def test_reload_stays_signed_in_and_sign_out_does_not_come_back(demo: Demo) -> None:
    maria = await demo.window("maria")
    await maria.reload()
    await expect(member(maria, "maria")).to_have_attribute("data-status", "online")
    await choose(maria, "Sign out")
    await expect(maria.get_by_role("heading", name="Sign in to Harbor")).to_be_visible()
    await maria.reload()
    await expect(maria.get_by_role("heading", name="Sign in to Harbor")).to_be_visible()


async def test_replies_and_filters_work(demo: Demo) -> None:
    maria = await demo.window("maria")
    await maria.get_by_role("button", name="Mine").click()
    await expect(maria.locator(".row")).to_have_count(1)
    await maria.locator(".row").click()
    await maria.get_by_placeholder("Write a reply…").fill("On its way.")
    await maria.keyboard.press("Enter")
    await expect(maria.get_by_role("log")).to_contain_text("On its way.")
    await maria.get_by_role("button", name="Unassigned").click()
    await expect(maria.locator(".row")).to_have_count(4)


@pytest.mark.parametrize("width", [390, 900, 1280])
async def test_page_fits_every_width(demo: Demo, width: int) -> None:
    maria = await demo.window("maria", viewport={"width": width, "height": 800})
    for pane in ("inbox", "thread", "team"):
        await maria.evaluate("(pane) => { document.getElementById('app').dataset.pane = pane; }", pane)
        overflow = await maria.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"Expected no sideways scrolling in {pane} at {width} px, got {overflow} px"
    await maria.locator("#own").click()
    box = await maria.get_by_role("menu").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
