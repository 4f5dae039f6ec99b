"""The demo, as people use it: two windows on two workers that share one Valkey."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.stage import NewWorker, Stage, choose, member, nobody_else, own_status, shows
from tests.browser.windows import Windows
from tests.support.timing import SOON_S

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def stage(windows: Windows, new_worker: NewWorker, tmp_path: Path) -> AsyncIterator[Stage]:
    with nobody_else(tmp_path):
        yield Stage(windows, [new_worker("demo", data_dir=tmp_path) for _ in range(2)], tmp_path)


async def test_two_people_see_each_other_s_status_change(stage: Stage) -> None:
    maria = await stage.window(None)
    await maria.get_by_role("button", name="Sign in as María García").click()
    juan = await stage.window("juan", on=1)
    await shows(juan, "maria", "online", "Online · signed in")
    await shows(maria, "juan", "online", "Online · signed in")

    await choose(maria, "Busy")
    await shows(juan, "maria", "busy", "Busy · own choice")
    await expect(own_status(maria)).to_have_text("Busy")

    await juan.get_by_role("button", name="5 sec").click()
    await expect(maria.get_by_role("button", name="5 sec")).to_have_attribute("aria-pressed", "true")
    await expect(maria.locator("#countdown-text")).to_contain_text(re.compile("Offline in [1-5] sec"))
    await expect(maria.get_by_text(re.compile("You will appear offline in"))).to_have_count(2)
    await shows(juan, "maria", "offline", "Offline · no activity")
    await expect(own_status(maria)).to_have_text("Offline, no activity")
    await expect(maria.locator("#countdown-text")).to_have_text("Offline, until you touch something")

    await maria.mouse.move(300, 300)
    await maria.mouse.move(420, 380)
    await shows(juan, "maria", "busy", "Busy · back again")
    await expect(own_status(maria)).to_have_text("Busy")

    await juan.get_by_role("button", name="10 min").click()
    await shows(juan, "juan", "online", "")
    await choose(maria, "Sign out")
    await expect(maria.get_by_text("You are signed out.")).to_be_visible()
    await expect(maria.get_by_role("heading", name="Sign in to Harbor")).to_be_focused()
    await shows(juan, "maria", "offline", "Offline · signed out")

    await maria.get_by_role("button", name="Sign in as María García").click()
    await expect(maria.locator("#own [part=button]")).to_be_focused()
    await shows(juan, "maria", "busy", "Busy · signed in")


async def test_only_who_is_online_gets_contacts_in_turn(stage: Stage) -> None:
    maria, juan = [await stage.window(user, on=on) for on, user in enumerate(("maria", "juan"))]
    await expect(member(maria, "juan")).to_have_attribute("data-status", "online")
    toast = maria.locator("#toast")
    assign = maria.get_by_role("button", name="Assign next contact")
    for customer, agent in [("Valentina Cruz", "Juan Pérez"), ("Marcus Hill", "María García")]:
        await assign.click()
        await expect(toast).to_have_text(f"{customer} goes to {agent}.")
    await choose(maria, "Busy")
    await expect(member(maria, "maria")).to_have_attribute("data-status", "busy")
    for customer in ("Diego Ramos", "Priya Nair"):
        await assign.click()
        await expect(toast).to_have_text(f"{customer} goes to Juan Pérez.")
    await assign.click()
    await expect(toast).to_have_text("Every conversation is assigned.")
    await choose(juan, "Busy")


async def test_when_nobody_is_online_the_contact_waits(stage: Stage) -> None:
    maria = await stage.window("maria")
    await choose(maria, "Busy")
    await expect(member(maria, "maria")).to_have_attribute("data-status", "busy")
    await maria.get_by_role("button", name="Assign next contact").click()
    await expect(maria.locator("#toast")).to_have_text("Nobody is online. The contact waits.")


async def test_page_says_when_statuses_may_be_out_of_date(stage: Stage) -> None:
    maria = await stage.window("maria", on=1)
    banner = maria.locator("#banner [part=banner]")
    await expect(banner).to_be_hidden()
    stage.workers[1].kill()
    await expect(banner).to_contain_text("Reconnecting… Statuses may be out of date.")
    await expect(maria.locator("#app presence-avatar[status]:not([stale])")).to_have_count(0)
    stage.workers[1].start()
    # The backoff has grown meanwhile; and it is a new demo, with a secret of its own.
    await expect(banner).to_be_hidden(timeout=6 * SOON_S * 1000)
    await expect(maria.locator("#app presence-avatar[stale]")).to_have_count(0)


async def test_reload_stays_signed_in_and_sign_out_does_not_come_back(stage: Stage) -> None:
    maria = await stage.window("maria")
    await maria.reload()
    await expect(member(maria, "maria")).to_have_attribute("data-status", "online")
    await choose(maria, "Sign out")
    await expect(maria.get_by_role("heading", name="Sign in to Harbor")).to_be_visible()
    await maria.reload()
    await expect(maria.get_by_role("heading", name="Sign in to Harbor")).to_be_visible()


async def test_signing_out_works_without_the_server(stage: Stage) -> None:
    maria = await stage.window("maria")
    stage.workers[0].kill()
    await choose(maria, "Sign out")
    await expect(maria.get_by_text("You are signed out.")).to_be_visible()


async def test_what_fails_is_told_without_the_server_s_words(stage: Stage) -> None:
    maria = await stage.window("maria", locale="es-ES")
    stage.workers[0].kill()
    await maria.get_by_role("button", name="5 s", exact=True).click()
    await expect(maria.locator("#toast")).to_have_text("No ha funcionado. Inténtalo de nuevo.")


async def test_replies_and_filters_work(stage: Stage) -> None:
    maria = await stage.window("maria")
    await maria.get_by_role("button", name="Mine").click()
    await expect(maria.locator(".row:visible")).to_have_count(1)
    await maria.locator(".row:visible").click()
    await maria.get_by_placeholder("Write a reply…").fill("On its way.")
    await maria.keyboard.press("Enter")
    await expect(maria.get_by_role("log")).to_contain_text("On its way.")
    await maria.get_by_role("button", name="Unassigned").click()
    await expect(maria.locator(".row:visible")).to_have_count(4)


async def test_lists_change_in_place(stage: Stage) -> None:
    maria, juan = [await stage.window(user) for user in ("maria", "juan")]
    await maria.evaluate("window.rows = [...document.querySelectorAll('.member, .row')]")
    await choose(juan, "Busy")
    await shows(maria, "juan", "busy", "own choice")
    await maria.get_by_role("button", name="Assign next contact").click()
    same = "window.rows.every((row, i) => row === document.querySelectorAll('.member, .row')[i])"
    assert await maria.evaluate(same)
    for region in ("#own [role=status]", "#banner [role=status]", ".toasts[role=status]"):
        assert await maria.locator(region).count() == 1
