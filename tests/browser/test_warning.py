"""The warning before one is shown offline, in the tabs and on the devices of one person, with a real worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from playwright.async_api import Page, expect

from tests.browser.windows import Windows
from tests.support.client import Client
from tests.support.tokens import mint
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewWorker = Callable[..., Worker]

IDLE_S = 6
SHOW = """async (token) => {
  const { connect } = await import("/static/presence.js");
  window.client = connect({ getToken: () => token });
  document.body.append(document.createElement("presence-banner"));
}"""


async def show(page: Page, origin: str) -> Page:
    """Put a banner into a page of Maria's."""
    if not page.url.startswith(origin):
        await page.goto(f"{origin}/healthz")
    await page.evaluate(SHOW, mint("maria", ["acme"], sid="laptop"))
    await page.wait_for_function("window.client.live")
    return page


async def test_i_am_here_in_one_tab_is_said_for_all(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker(idle_timeout=IDLE_S)
    first = await show(await windows.open_blank(worker.http_url), worker.http_url)
    second = await show(await first.context.new_page(), worker.http_url)
    banners = [page.locator("presence-banner [part=banner]") for page in (first, second)]
    for banner in banners:
        await expect(banner).to_contain_text("You will appear offline in")
    await second.get_by_role("button", name="I’m here").click()
    for banner in banners:
        await expect(banner).to_be_hidden()
    assert await first.evaluate("window.client.self().status") == "online"


async def test_nobody_is_warned_who_is_active_on_another_device(windows: Windows, new_worker: NewWorker) -> None:
    worker = new_worker(idle_timeout=IDLE_S)
    page = await show(await windows.open_blank(worker.http_url), worker.http_url)
    warned = await page.evaluate_handle(
        "(() => { const all = []; client.on('warning', (w) => all.push(w)); return all; })()"
    )
    phone = await Client.connect(worker.ws_url, mint("maria", ["acme"], sid="phone"), name="phone")
    async with phone.typing(every_s=1):
        await asyncio.sleep(IDLE_S + 2)
        assert await warned.json_value() == []
        assert await page.evaluate("window.client.self().status") == "online"
    await phone.end()
    # Nobody there any more: now it is said.
    await expect(page.locator("presence-banner [part=banner]")).to_contain_text("You will appear offline in")
