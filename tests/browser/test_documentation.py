"""docs/browser.md says what there is, and each of its blocks works as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.bundles import BROWSER, adopt, esbuild, node, tool, vite_dev
from tests.browser.windows import Windows
from tests.support.tokens import mint
from tests.support.worker import ROOT, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewWorker = Callable[..., Worker]

DOCUMENT = (ROOT / "docs" / "browser.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOCUMENT, re.DOTALL)
HOST = "<!doctype html><title>Host</title><div id=app></div><script type=module src=/main.js></script>"


def blocks(language: str, containing: str = "") -> list[str]:
    return [block for found, block in BLOCKS if found == language and containing in block]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adopt(tmp_path_factory.mktemp("host"))


async def open_with_token(windows: Windows, html: str | None = None, origin: str = "") -> Page:
    """A window in which /presence-token, of whatever host, answers for Maria; it shows `html` as a page of `origin`."""
    page = await windows.open()
    token = mint("maria", ["acme"], sid="s1")
    await page.context.route("**/presence-token", lambda route: route.fulfill(body=token))
    if html is not None:
        # Inserted rather than fulfilled: a page from nowhere may not connect to a local network. Nor written: what
        # `document.open` leaves behind upgrades no elements.
        await page.goto(f"{origin}/healthz")
        insert = "(html) => document.body.append(document.createRange().createContextualFragment(html))"
        await page.evaluate(insert, html)
    return page


async def test_the_page_without_a_bundler_works(windows: Windows, new_worker: NewWorker) -> None:
    (html,) = blocks("html", "<!doctype")
    page = await open_with_token(windows, html, new_worker().http_url)
    await expect(page.locator('presence-avatar[user="maria"]')).to_have_attribute("status", "online")
    await expect(page.locator('presence-avatar[user="juan"]')).to_have_attribute("status", "offline")
    await expect(page.locator('presence-avatar[user="maria"]')).to_be_visible()


@pytest.mark.parametrize("how", ["dev", "build"])
async def test_the_module_works_in_vite(project: Path, windows: Windows, new_worker: NewWorker, how: str) -> None:
    """The host application's own server passes /v1 on to the presence server, as Vite's proxy does here."""
    worker = new_worker(allowed_origins="*")
    folder = project / how
    folder.mkdir()
    (folder / "index.html").write_text(HOST)
    (folder / "main.js").write_text(blocks("js")[0])
    proxy = f'{{ "/v1": {{ target: "{worker.http_url}", ws: true }} }}'
    config = f"export default {{ server: {{ proxy: {proxy} }}, preview: {{ proxy: {proxy} }} }};"
    (folder / "vite.config.js").write_text(config)
    if how == "build":
        tool("vite", "build", "--logLevel", "warn", cwd=folder)
    page = await open_with_token(windows)
    with vite_dev(folder, *(["preview"] if how == "build" else [])) as origin:
        await page.goto(origin)
        await page.wait_for_function("document.title === 'online'")


async def test_the_react_blocks_are_typed_and_work(project: Path, windows: Windows, new_worker: NewWorker) -> None:
    app, presence = blocks("tsx")
    folder = project / "react"
    folder.mkdir()
    (folder / "app.tsx").write_text(app)
    (folder / "presence.tsx").write_text(presence)
    flags = "--strict --noEmit --jsx react-jsx --target es2022 --module esnext --moduleResolution bundler"
    tool("tsc", *flags.split(), "app.tsx", "presence.tsx", cwd=folder)
    (folder / "main.jsx").write_text(
        'import { createRoot } from "react-dom/client";\n'
        'import { StrictMode } from "react";\n'
        'import { App } from "./app";\n'
        'createRoot(document.getElementById("app")).render(<StrictMode><App /></StrictMode>);\n'
    )
    development = "--define:process.env.NODE_ENV='development'"
    esbuild("main.jsx", "--outfile=main.js", "--jsx=automatic", development, cwd=folder)
    # A script in a page may not contain what would end it.
    script = (folder / "main.js").read_text().replace("</script", "<\\/script")
    page = await open_with_token(windows, HOST.replace(" src=/main.js>", f">{script}"), new_worker().http_url)
    await expect(page.locator(".dot")).to_have_class("dot offline")
    await expect(page.locator("b")).to_have_text("online")


async def test_the_elements_follow_the_one_client_and_speak_what_they_are_told(
    project: Path, windows: Windows, new_worker: NewWorker
) -> None:
    folder = project / "elements"
    folder.mkdir()
    connecting, words = blocks("js", "presence-client/elements")
    (folder / "main.js").write_text(connecting + words)
    esbuild("main.js", "--outfile=out.js", cwd=folder)
    script = (folder / "out.js").read_text().replace("</script", "<\\/script")
    (elements,) = blocks("html", "<presence-menu")
    (style,) = blocks("css")
    page = f"<title>Host</title><style>{style}</style><div lang=fr>{elements}</div>"
    opened = await open_with_token(windows, f"{page}<script type=module>{script}</script>", new_worker().http_url)
    await expect(opened.locator("presence-menu presence-avatar")).to_have_attribute("status", "online")
    await expect(opened.locator("presence-menu [part=text]")).to_be_hidden()
    await expect(opened.locator("presence-menu [part=status]")).to_have_text("En ligne")
    box = opened.locator("presence-menu presence-avatar [part=picture]")
    await expect(box).to_have_css("border-radius", "25%")


async def test_the_unit_test_passes(project: Path) -> None:
    (project / "unit.test.js").write_text(*blocks("js", "fakePresence"))
    node("--test", "unit.test.js", cwd=project)


# --- nothing is missing -----------------------------------------------------------------------------------------------


async def test_every_method_and_property_is_documented(windows: Windows, new_worker: NewWorker) -> None:
    page = await windows.open_blank(new_worker().http_url)
    names = await page.evaluate(
        "async () => Object.getOwnPropertyNames((await import('/static/presence.js')).PresenceClient.prototype)"
    )
    assert [name for name in names if name != "constructor" and not re.search(rf"`{name}[`(]", DOCUMENT)] == []


async def test_every_event_reason_state_and_hook_is_documented() -> None:
    types = (BROWSER / "src/client/types.js").read_text()
    events = re.findall(
        r"^ \* @property \{.*?\} (\w+)", types.partition("@typedef {object} Events")[2].partition("*/")[0], re.M
    )
    words = re.findall(r'"(\w+)"', re.findall(r"@typedef \{(.*)\} State$", types, re.M)[0])
    words += re.findall(r'"(\w+)"', re.findall(r"@typedef \{(.*)\} StopReason$", types, re.M)[0])
    hooks = re.findall(r"^export function (\w+)", (BROWSER / "src/react.js").read_text(), re.M)
    assert {"self", "signedout"} <= set(events)
    assert {"parked", "token_refused"} <= set(words)
    assert "usePresence" in hooks
    assert [word for word in {*events, *words, *hooks} if not re.search(rf"`{word}[`(]", DOCUMENT)] == []
