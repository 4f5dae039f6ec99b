"""axe, which finds what gets in the way of people with disabilities."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Frame, Page

from tests.support.worker import ROOT

SCRIPT = ROOT / "browser" / "node_modules" / "axe-core" / "axe.min.js"


async def violations(page: Page | Frame) -> list[str]:
    """What axe objects to in a page, its shadow roots included: a line for each kind, with where."""
    assert SCRIPT.exists(), f"Expected axe-core at {SCRIPT}, got nothing: run scripts/test, which installs it"
    await page.evaluate(SCRIPT.read_text())
    found: list[dict[str, Any]] = await page.evaluate(
        "async () => (await axe.run(document, { iframes: false, resultTypes: ['violations'] })).violations"
    )
    return [f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']]}" for each in found]
