"""What the README and the integration guide tell to type works, against a real server and in a real browser."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright

from presence_server.settings import Settings
from presence_server.web.auth import TokenVerifier
from tests.browser.conftest import CHROMIUM_ARGUMENTS
from tests.browser.windows import Windows
from tests.conftest import NewSite
from tests.support.tokens import SECRET
from tests.support.worker import ROOT, environment

README = ROOT / "README.md"
INTEGRATION = ROOT / "docs" / "integration.md"

# Unlike innerHTML, a fragment made so runs its scripts.
INSERT = "html => document.body.append(document.createRange().createContextualFragment(html))"


def block(page: Path, language: str, containing: str = "") -> str:
    """The one code block of a language on a page, or the one of them that contains something."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    (text,) = (each for each in found if containing in each)
    return str(text)


async def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python without holding up the test's clients."""
    settings = environment({}) | variables
    return await asyncio.to_thread(
        subprocess.run, [sys.executable, *arguments], env=settings, capture_output=True, text=True, check=False
    )


async def printed_tokens() -> list[str]:
    """What the two commands of the README print: a person's token and the backend's."""
    tokens = []
    for line in block(README, "sh", "presence-server token").splitlines():
        if line.startswith("presence-server token"):
            arguments = line.partition("#")[0].split()[1:]
            done = await run("-m", "presence_server", *arguments, PRESENCE_JWT_SECRET=SECRET)
            assert done.returncode == 0, done.stderr
            tokens.append(done.stdout.strip())
    return tokens


@pytest.fixture
async def windows() -> AsyncIterator[Windows]:
    """Browser windows of a Chromium of this test's own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        windows = Windows(browser)
        yield windows
        await windows.close()
        await browser.close()


async def test_its_tokens_and_its_python_tell_who_is_online(new_site: NewSite) -> None:
    site = await new_site()
    person, backend = await printed_tokens()
    await site.connect("maria", token=person)
    await (await site.connect("juan", teams=["acme"])).choose("busy")
    snippet = block(README, "python")
    here = snippet.replace("http://127.0.0.1:8000", site.workers[0].http_url)
    assert here != snippet
    done = await run("-c", here, TOKEN=backend)
    assert (done.stdout, done.stderr) == ("['maria']\n", "")


async def test_its_page_shows_a_dot(new_site: NewSite, windows: Windows) -> None:
    site = await new_site()
    person, _backend = await printed_tokens()
    tab = await windows.open_blank(site.workers[0].http_url)
    await tab.route("**/presence-token", lambda route: route.fulfill(body=person))
    await tab.evaluate(INSERT, block(README, "html"))
    await tab.wait_for_selector("presence-avatar[user=maria][status=online]")
    api = site.api("maria", teams=["acme"])
    assert (await api.request("PUT", "/v1/teams/acme/presence/maria", json={"status": "busy"})).is_success
    await tab.wait_for_selector("presence-avatar[user=maria][status=busy]")


def test_the_integration_guide_mints_what_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_JWT_SECRET", SECRET)
    names: dict[str, Any] = {}
    exec(block(INTEGRATION, "python"), names)
    claims = TokenVerifier(Settings(jwt_secret=SECRET)).verify_now(names["presence_token"]("maria", ["acme"], "cookie"))
    assert claims is not None
    assert (claims.user, claims.teams, claims.admin) == ("maria", ("acme",), False)
    assert claims.session
    assert claims.issued_at_s


def test_every_image_is_there_and_is_one() -> None:
    images = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text())
    assert images
    for image in images:
        assert (ROOT / image).read_bytes().startswith(b"\x89PNG")
