"""The demo's front page: people side by side, simulated teammates, and what goes over the wire."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser.stage import NewWorker, Stage, choose, member
from tests.browser.test_demo import stage
from tests.browser.windows import Windows

__all__ = ["stage"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_two_people_side_by_side_are_two_browsers(stage: Stage) -> None:
    front = await stage.front(viewport={"width": 1440, "height": 900})
    await expect(front.locator("iframe")).to_have_count(2)
    maria, juan = [front.frame_locator("iframe").nth(index) for index in (0, 1)]
    for frame in (maria, juan):
        await expect(frame.locator('.member[data-status="online"]')).to_have_count(2)
    await maria.locator("#own").click()
    await maria.get_by_role("menuitemradio", name="Busy").click()
    await expect(juan.locator('.member[data-user="maria"]')).to_have_attribute("data-status", "busy")
    await expect(juan.locator('.member[data-user="juan"]')).to_have_attribute("data-status", "online")

    # One of them stays just as he is when the other goes.
    await front.get_by_role("button", name="One person").click()
    await expect(front.locator("iframe")).to_have_count(1)
    await expect(maria.locator("#own [part=status]")).to_have_text("Busy")
    await front.reload()
    await expect(front.locator("iframe")).to_have_count(1)


async def test_the_curious_see_every_frame_and_whose_worker_it_is(stage: Stage) -> None:
    front = await stage.front(viewport={"width": 1440, "height": 900})
    frames = front.locator("#frames")
    await expect(frames).to_contain_text('{"type":"welcome","user":"maria"')
    await expect(frames).to_contain_text('"token":"…"')
    assert "eyJ" not in await frames.inner_text()
    await expect(front.locator("#workers dd").first).to_have_text(re.compile(r"^\w+$"))
    await expect(front.locator("#version")).to_have_text(re.compile(r"^\d+\.\d+\.\d+"))
    # There is but one: who kills it kills the demo.
    await expect(front.get_by_role("button", name="Kill this worker")).to_have_count(0)


async def test_the_lines_to_copy_are_those_of_the_readme(stage: Stage) -> None:
    front = await stage.front()
    readme = Path(__file__).parents[2] / "README.md"
    assert (await front.locator("#code").inner_text()).strip() in readme.read_text()


async def test_teammates_live_from_the_first_second(windows: Windows, new_worker: NewWorker, tmp_path: Path) -> None:
    worker = new_worker("demo", data_dir=tmp_path)
    stage = Stage(windows, [worker], tmp_path)
    maria = await stage.window("maria")
    await expect(maria.locator('.member[data-status="online"], .member[data-status="busy"]')).not_to_have_count(1)
    before = await maria.locator("#team").inner_text()
    await expect(maria.locator("#team")).not_to_have_text(before, use_inner_text=True)
    # He who idles comes back, and he who is away signs in.
    await expect(member(maria, "chloe")).to_have_attribute("data-status", "online")
    await expect(member(maria, "kenji")).to_have_attribute("data-status", "online")
    await expect(member(maria, "noor")).to_have_attribute("data-status", "busy")


async def test_teammates_come_back_after_an_outage(windows: Windows, new_worker: NewWorker, tmp_path: Path) -> None:
    worker = new_worker("demo", data_dir=tmp_path)
    stage = Stage(windows, [worker], tmp_path)
    worker.kill()
    worker.start()
    maria = await stage.window("maria")
    await expect(member(maria, "noor")).to_have_attribute("data-status", "busy")
    await choose(maria, "Busy")
    await expect(member(maria, "maria")).to_have_attribute("data-status", "busy")
