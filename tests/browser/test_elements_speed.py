"""What the elements cost a page, compared with the same page without them, in the same run."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.browser.gallery import Gallery
from tests.browser.windows import MODULES_ORIGIN, Windows
from tests.support.worker import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="session")

MANY = 500
ELEMENTS_BYTES = 7 * 1024

COUNT = """() => {
  window.written = 0;
  const count = (records) => { window.written += records.length; };
  const options = { attributes: true, childList: true, characterData: true, subtree: true };
  window.counter = new MutationObserver(count);
  for (const each of document.querySelectorAll("presence-avatar")) {
    window.counter.observe(each, options);
    window.counter.observe(each.shadowRoot, options);
  }
}"""

# Once in turn, several times: the fastest is what the machine can do when nobody else wants it.
CREATE = """async (many) => {
  const make = (tag) => {
    const before = performance.now();
    const all = document.createElement("div");
    for (let i = 0; i < many; i += 1) {
      const each = document.createElement(tag);
      const attributes = { user: `u${i}`, name: `Ana Souza ${i}`, src: "/static/favicon.svg", width: 32, height: 32 };
      for (const [name, value] of Object.entries(attributes)) each.setAttribute(name, value);
      all.append(each);
    }
    place.append(all);
    place.getBoundingClientRect();
    const took = performance.now() - before;
    all.remove();
    return took;
  };
  const found = { img: [], "presence-avatar": [] };
  const fastest = () => Object.values(found).map((times) => Math.min(...times));
  for (let round = 0; round < 100; round += 1) {
    for (const tag of Object.keys(found)) {
      found[tag].push(make(tag));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const [images, elements] = fastest();
    if (round > 10 && elements - images <= Math.max(40, 8 * images)) break;
  }
  return fastest();
}"""


async def test_what_changes_nothing_renders_nothing(windows: Windows) -> None:
    gallery = await Gallery.open(windows)
    await gallery.people(**{f"u{i}": "online" for i in range(MANY)})
    await gallery.put("".join(f'<presence-avatar user="u{i}" name="U {i}"></presence-avatar>' for i in range(MANY)))
    await expect(gallery.page.locator("presence-avatar[status=online]")).to_have_count(MANY)
    await gallery.page.evaluate(COUNT)
    # Of others; of these, the same again; and the same values written by a framework.
    await gallery.people(juan="busy", ana="offline")
    await gallery.run("room.set({ u7: { status: 'online', since: client.get('u7').since } })")
    await gallery.run(
        "place.querySelectorAll('presence-avatar').forEach((each) => { each.user = each.user; each.name = each.name; })"
    )
    await gallery.becomes("client.get('juan')?.status", "busy")
    assert await gallery.run("[window.written, window.counter.takeRecords().length]") == [0, 0]
    await gallery.people(u7="busy")
    await gallery.becomes("window.written > 0", True)
    assert await gallery.run("window.written") < 8


async def test_many_are_made_as_fast_as_pictures(windows: Windows) -> None:
    gallery = await Gallery.open(windows)
    images_ms, avatars_ms = await gallery.page.evaluate(CREATE, MANY)
    # On a machine that is busy or slow, pictures take longer as well: then it is the ratio that counts.
    assert avatars_ms - images_ms <= max(40, 8 * images_ms), f"{MANY} take {avatars_ms} ms, images {images_ms} ms"


async def test_nothing_moves_when_the_elements_come(windows: Windows) -> None:
    page = await windows.open_modules()
    loaded = asyncio.Event()

    async def late(route: Route) -> None:
        await loaded.wait()
        await route.fallback()

    await page.route(f"{MODULES_ORIGIN}/static/presence.js", late)
    content = """
    <p><presence-avatar user="maria" name="María García"></presence-avatar> and text</p>
    <p><presence-avatar user="maria" name="María" size="64"></presence-avatar> and text</p>
    <p><presence-avatar user="maria" size="41"><img src="/static/favicon.svg" alt=""></presence-avatar> text</p>
    <p><presence-dot user="maria"></presence-dot> and text</p>
    <p style="display: flex"><presence-menu user="maria" name="María García"></presence-menu><b>after it</b></p>
    <presence-banner></presence-banner><p>The last line</p>
    """
    opening = asyncio.ensure_future(Gallery.open_in(page, content))
    await page.wait_for_function("document.readyState !== 'loading' && document.querySelector('presence-menu')")
    await page.evaluate(
        """() => {
          window.shift = 0;
          const add = (list) => list.getEntries().forEach(({ value }) => { window.shift += value; });
          new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
        }"""
    )
    await page.screenshot()
    loaded.set()
    gallery = await opening
    for status in ("online", "busy", "offline"):
        await gallery.people(maria={"status": status, "reason": "idle"})
        await expect(page.locator("presence-menu [part=status]")).not_to_have_text("")
        await page.screenshot()
    await gallery.run("room.feed(false)")
    await expect(page.locator("presence-banner [part=banner]")).to_be_visible()
    await page.screenshot()
    shift: float = await page.evaluate("window.shift")
    assert shift < 0.01


async def test_elements_are_small() -> None:
    done = await asyncio.to_thread(
        subprocess.run, ["node", "browser/build.mjs", "--sizes"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    sizes: dict[str, Any] = json.loads(done.stdout)
    assert sizes["elements"] <= ELEMENTS_BYTES
