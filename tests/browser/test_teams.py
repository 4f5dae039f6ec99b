"""All teams of one client: what it resumes, whom it watches, what it knows (presence-teams.js)."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRELUDE = """
  const { Teams } = await import("/static/presence-teams.js");
  const teams = new Teams();
  teams.user = "maria";
  const here = { status: "online", since: 1, reason: "signed_in" };
  const tell = (type, version, names, more) => {
    const users = Object.fromEntries(names.map((name) => [name, here]));
    return teams.applyRoster({ type, team: "acme", epoch: "k1", version, users, more });
  };
  const begin = () => { const { resume, watch } = teams.begin(); return [[...resume], [...watch]]; };
  const status = (user) => teams.status("acme", user)?.status ?? null;
  teams.welcomed(["acme"]);
"""


async def run(page: Page, body: str) -> Any:
    return await page.evaluate("async () => {" + PRELUDE + body + "}")


async def test_a_whole_roster_is_resumed(modules: Page) -> None:
    resume, watch = await run(modules, "tell('snapshot', 5, ['maria']); tell('delta', 8, ['juan']); return begin();")
    assert resume == [["acme", {"epoch": "k1", "version": 8}]]
    assert watch == []


async def test_a_roster_without_a_snapshot_is_not_resumed(modules: Page) -> None:
    assert await run(modules, "tell('snapshot', 5, ['maria'], true); return begin();") == [[], []]


async def test_a_narrowed_roster_is_not_resumed(modules: Page) -> None:
    resume, watch = await run(
        modules,
        "tell('snapshot', 5, ['maria', 'juan']); teams.watch('acme', ['juan']); teams.told('acme'); "
        "tell('snapshot', 6, ['maria', 'juan']); return begin();",
    )
    assert resume == []
    assert watch == [["acme", ["juan"]]]


async def test_a_widened_roster_is_resumed_once_the_server_has_widened_it(modules: Page) -> None:
    before, after = await run(
        modules,
        "teams.watch('acme', ['juan']); teams.told('acme'); tell('snapshot', 6, ['juan']); "
        "teams.watch('acme', 'all'); tell('snapshot', 7, ['juan']); const before = begin(); "
        "teams.welcomed(['acme']); tell('snapshot', 8, ['juan', 'ana']); return [before, begin()];",
    )
    assert before == [[], []], "the server had not widened it yet when the connection was lost"
    assert after == [[["acme", {"epoch": "k1", "version": 8}]], []]


async def test_nobody_s_status_is_known_before_the_snapshot(modules: Page) -> None:
    assert await run(modules, "return [status('maria'), status('juan')];") == [None, None]


async def test_who_is_absent_is_offline(modules: Page) -> None:
    known = await run(modules, "tell('snapshot', 5, ['maria']); return [status('maria'), status('juan')];")
    assert known == ["online", "offline"]


async def test_who_is_not_watched_is_not_known(modules: Page) -> None:
    known = await run(
        modules,
        "tell('snapshot', 5, ['maria', 'juan', 'ana']); teams.watch('acme', ['juan']); teams.told('acme'); "
        "const changes = tell('snapshot', 5, ['maria']); "
        "return [status('maria'), status('juan'), status('ana'), [...changes.keys()]];",
    )
    assert known == ["online", "offline", None, ["juan"]]


async def test_a_watch_list_that_did_not_fit_the_hello_is_still_to_be_told(modules: Page) -> None:
    untold = await run(
        modules,
        "teams.watch('acme', ['juan']); const before = teams.untold(); teams.begin(); const sent = teams.untold(); "
        "teams.notTold('acme'); return [before, sent, teams.untold()];",
    )
    assert untold == [[{"team": "acme", "users": ["juan"]}], [], [{"team": "acme", "users": ["juan"]}]]


async def test_a_team_that_was_left_is_forgotten(modules: Page) -> None:
    result = await run(
        modules,
        "tell('snapshot', 5, ['maria']); const gone = teams.setNames(['other']); "
        "return [gone, teams.names, status('maria'), begin()];",
    )
    assert result == [["acme"], ["other"], None, [[], []]]


async def test_synced_once_every_team_was_heard_on_this_connection(modules: Page) -> None:
    result = await run(
        modules,
        "const fresh = teams.synced; tell('snapshot', 5, ['maria'], true); const part = teams.synced; "
        "tell('snapshot', 5, []); const whole = teams.synced; teams.begin(); teams.welcomed(['acme']); "
        "const again = teams.synced; tell('delta', 5, []); return [fresh, part, whole, again, teams.synced];",
    )
    assert result == [False, False, True, False, True]
