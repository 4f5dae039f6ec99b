"""The demo on two workers, and where its pictures go."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.async_api import Frame, Locator, Page, expect

from presence_server.web.teammates import LOCK
from tests.browser.windows import Windows
from tests.support.worker import Worker

NewWorker = Callable[..., Worker]


class Stage:
    """Two demos that share a Valkey.

    Attributes:
        workers: their processes.
    """

    def __init__(self, windows: Windows, workers: list[Worker], pictures: Path) -> None:
        self._windows = windows
        self.workers = workers
        self._pictures = pictures

    async def window(self, user: str | None, *, on: int = 0, **options: object) -> Page:
        """Open the application, signed in as `user` and live, or showing whom to sign in as."""
        url = self.workers[on].http_url + "/demo/app" + ("" if user is None else f"?user={user}")
        page = await self._windows.open(url, **options)
        if user is not None:
            await expect(member(page, user)).to_have_attribute("data-status", re.compile("online|busy"))
        return page

    async def front(self, **options: object) -> Page:
        """Open the front page."""
        return await self._windows.open(self.workers[0].http_url + "/", **options)

    async def picture(self, page: Page, name: str) -> None:
        """Keep a picture of the window."""
        folders = [self._pictures, *([Path(kept)] if (kept := os.environ.get("PRESENCE_SCREENSHOTS")) else [])]
        for folder in folders:
            await page.screenshot(path=folder / f"{name}.png", animations="disabled")


@contextmanager
def nobody_else(folder: Path) -> Iterator[None]:
    """Meanwhile no simulated teammates live in the demos of a data folder: as if another worker ran them."""
    path = folder / "demo" / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def member(page: Page | Frame, user: str) -> Locator:
    """A person's row in the team list."""
    return page.locator(f'.member[data-user="{user}"]')


def own_status(page: Page | Frame) -> Locator:
    return page.locator("#own [part=status]")


async def choose(page: Page, item: str) -> None:
    await page.locator("#own").click()
    await page.get_by_role("menu").get_by_text(item, exact=True).click()


async def shows(page: Page, user: str, status: str, words: str) -> None:
    """The team list and every dot of the page show `user` so, and say why."""
    await expect(member(page, user)).to_have_attribute("data-status", status)
    await expect(member(page, user)).to_contain_text(words)
    await expect(page.locator(f'#app presence-avatar[user="{user}"]:not([status="{status}"])')).to_have_count(0)
    await expect(page.locator(f'#conversations presence-avatar[user="{user}"][status="{status}"]')).not_to_have_count(0)
