"""docs/client.md says what there is, and its page works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.windows import STATIC, Windows
from tests.support.tokens import mint
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCUMENT = (Path(__file__).parents[2] / "docs" / "client.md").read_text()


async def test_page_in_the_documentation_works(windows: Windows, shared_workers: list[Worker]) -> None:
    found = re.search(r"```html\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    page = await windows.open_blank(shared_workers[0].http_url)
    token = mint("maria", ["acme"])
    await page.route("**/presence-token", lambda route: route.fulfill(body=token))
    # Unlike innerHTML, a fragment made so runs its scripts.
    await page.evaluate(
        "(html) => document.body.append(document.createRange().createContextualFragment(html))", found[1]
    )
    await expect(page.locator('presence-avatar[user="maria"]')).to_have_attribute("status", "online")
    await expect(page.locator('presence-avatar[user="juan"]')).to_have_attribute("status", "offline")
    await expect(page.get_by_role("img", name=re.compile("^María García – Online since "))).to_be_visible()


async def test_every_method_and_property_is_documented(modules: Page) -> None:
    names = await modules.evaluate(
        """async () => {
          const { PresenceClient } = await import("/static/presence-client.js");
          return Object.getOwnPropertyNames(PresenceClient.prototype);
        }"""
    )
    missing = [name for name in names if name != "constructor" and not re.search(rf"`{name}[`(]", DOCUMENT)]
    assert missing == []


async def test_every_event_and_reason_is_documented() -> None:
    client = (STATIC / "presence-client.js").read_text()
    policy = (STATIC / "presence-policy.js").read_text()
    events = set(re.findall(r'#emit\("(\w+)"', client))
    reasons = set(re.findall(r'\[\d{4}, "(\w+)"\]', policy))
    assert {"status", "signedout"} <= events
    assert {"signed_out", "replaced"} <= reasons
    assert [word for word in events | reasons if f"`{word}`" not in DOCUMENT] == []


async def test_every_attribute_of_the_avatar_is_documented(modules: Page) -> None:
    attributes = await modules.evaluate(
        "async () => (await import('/static/presence-avatar.js')).PresenceAvatar.observedAttributes"
    )
    assert [name for name in attributes if f"| `{name}` |" not in DOCUMENT] == []
