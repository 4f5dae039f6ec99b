"""The documentation keeps up with the code, and what it shows works.

``python -m tests.test_docs`` writes the table of settings into docs/operations.md.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from playwright.async_api import async_playwright
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

import presence_server
from presence_server import cli, errors
from presence_server.core import messages, status
from presence_server.settings import VARIABLES, Settings, markdown_table
from presence_server.web import openapi
from presence_server.web.app import create_app
from tests.browser.conftest import CHROMIUM_ARGUMENTS
from tests.browser.windows import Windows
from tests.conftest import NewSite
from tests.support.site import Site
from tests.support.timing import SOON_S
from tests.support.tokens import SECRET
from tests.support.worker import ROOT, Worker, environment

PACKAGE = Path(presence_server.__file__).parent
README = ROOT / "README.md"
PROTOCOL = ROOT / "docs" / "protocol.md"
OPERATIONS = ROOT / "docs" / "operations.md"
INTEGRATION = ROOT / "docs" / "integration.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

TABLE = re.compile(r"(?<=<!-- settings: written by `\.venv/bin/python -m tests\.test_docs` -->\n).*?(?=<!-- /settings -->)", re.S)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language on a page."""
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    _, found, rest = page.read_text().partition(f"\n{heading}\n")
    assert found, f"Expected a heading '{heading}' in {page.name}"
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> set[str]:
    """What stands in backticks or digits at the beginning of rows of tables."""
    return set(re.findall(r"^\| (?:\d+ \| )?`?([\w{}]+)`?", text, re.MULTILINE))


# --- what must be documented ------------------------------------------------------------------------------------------


def test_the_table_of_settings_is_the_programs() -> None:
    (table,) = TABLE.findall(OPERATIONS.read_text())
    assert table == markdown_table(), "Expected the current table of settings; run: .venv/bin/python -m tests.test_docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_setting_that_there_is_not(page: Path) -> None:
    named = set(re.findall(r"\bPRESENCE_[A-Z_]*[A-Z]\b", page.read_text()))
    assert named <= {variable.name for variable in VARIABLES} | {"PRESENCE_TEST_UNIT"}


def calls(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and path of everything the application answers; the method is empty where it does not matter."""
    for route in routes:
        if isinstance(route, WebSocketRoute):
            yield "GET", route.path
        elif isinstance(route, Mount):
            yield "", f"{route.path}/"
        elif isinstance(route, Route):
            methods = route.methods or [name.upper() for name in ("get", "put", "post", "delete") if hasattr(route.endpoint, name)]
            yield from ((method, route.path) for method in methods if method != "HEAD")


def test_every_call_is_documented() -> None:
    text = PROTOCOL.read_text()
    app = create_app(Settings(jwt_secret=SECRET))
    wanted = set(calls(app.routes))
    assert ("GET", "/v1/ws") in wanted
    assert ("PUT", "/v1/teams/{team}/settings") in wanted
    assert {f"{method} {path}".strip() for method, path in wanted if f"`{method} {path}`".replace("` ", "`") not in text} == set()
    described = {(method.upper(), path) for path, item in openapi.DESCRIPTION["paths"].items() for method in item}
    assert {path for method, path in described if method != "PARAMETERS" and f"`{method} {path}`" not in text} == set()


def test_the_demos_own_paths_are_documented() -> None:
    app = create_app(Settings(jwt_secret=SECRET), demo=True)
    assert {path for _method, path in calls(app.routes) if f"{path}`" not in PROTOCOL.read_text()} == set()


async def test_every_metric_is_documented(site: Site) -> None:
    exposed = (await site.api(None).request("GET", "/metrics")).text
    names = set(re.findall(r"^# TYPE (presence_\w+) ", exposed, re.MULTILINE))
    assert len(names) > 10
    documented = {name.partition("{")[0] for name in first_cells(section(OPERATIONS, "## Metrics"))}
    assert documented == names
    used = set(re.findall(r"\bpresence_\w+", section(OPERATIONS, "## Alerts")))
    assert {re.sub(r"_bucket$", "", name) for name in used} <= names


def error_classes() -> Iterator[type[errors.PresenceError]]:
    """Everything that is told to a client, wherever it is defined."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "presence_server."):
        if module.name != "presence_server.__main__":
            importlib.import_module(module.name)
    found = [errors.PresenceError]
    for each in found:
        found += [other for other in each.__subclasses__() if other not in found]
    return (each for each in found if not issubclass(each, errors.StartupError))


def test_every_error_code_is_documented_with_its_status() -> None:
    rows = set(re.findall(r"^\| (\d+) \| `(\w+)`", section(PROTOCOL, "### Errors"), re.MULTILINE))
    statuses = {(str(each.http_status), each.code) for each in error_classes()}
    # What Starlette refuses by itself, and what nobody has foreseen.
    statuses |= {("404", "not_found"), ("405", "method_not_allowed"), ("500", "internal_error")}
    # No HTTP call has types.
    assert rows == statuses - {("400", "unknown_type")}
    over_websocket = {
        "bad_message unknown_type status_not_selectable unknown_status not_a_member rate_limited too_many_users",
        "bad_token unavailable",
    }
    documented = first_cells(section(PROTOCOL, "### 5.3 Error codes")) - {"code"}
    assert documented == set(" ".join(over_websocket).split())
    assert documented <= {each.code for each in error_classes()}


def numbers_in_the_code() -> set[int]:
    """Every close code that a module names, as a number or as text."""
    found: set[int] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and re.fullmatch(r"1011|1013|40[0-4]\d|45\d\d", str(node.value)):
                found.add(int(node.value))
    return found


def test_every_close_code_is_documented() -> None:
    used = numbers_in_the_code() | {each.close_code for each in error_classes() if each.close_code is not None}
    assert {1011, 1013, 4001, 4003, 4506} <= used
    rows = re.findall(r"^\| ([\d, ]+) \|", section(PROTOCOL, "### 5.4 Close codes"), re.MULTILINE)
    documented = {int(code) for row in rows for code in row.split(",")}
    assert used <= documented
    assert {code for code in documented if code >= 4000} <= used


def test_every_message_type_is_documented_and_no_other() -> None:
    source = (PACKAGE / "core" / "messages.py").read_text()
    sent = set(re.findall(r'"type": ?"(\w+)"', source))
    taken = {"heartbeat", *messages._PARSERS}
    assert sent >= {"welcome", "snapshot", "delta", "feed"}
    for heading, types in (("### 5.1 From the client", taken), ("### 5.2 From the server", sent)):
        assert set(re.findall(r"^#### `(\w+)`$", section(PROTOCOL, heading), re.MULTILINE)) == types


def test_every_reason_is_documented() -> None:
    known = set(openapi._REASON["enum"]) - {None}
    assert first_cells(section(PROTOCOL, "### Reasons")) - {"reason"} == known


def subparsers() -> dict[str, argparse.ArgumentParser]:
    actions = cli._parser()._subparsers
    assert actions is not None
    (group,) = actions._group_actions
    assert isinstance(group, argparse._SubParsersAction)
    return dict(group.choices)


def test_every_command_is_documented() -> None:
    text = section(PROTOCOL, "## 7. Command line")
    commands = subparsers()
    assert set(re.findall(r"^\| `presence-server (\w+)`", text, re.MULTILINE)) == set(commands)
    of_settings = {variable.flag for variable in VARIABLES}
    for command in commands.values():
        for option in command._option_string_actions:
            assert option in of_settings or option in text or option == "-h", f"{option} of {command.prog}"


def test_sections_and_rules_that_the_code_refers_to_exist() -> None:
    sources = [path.read_text() for path in PACKAGE.rglob("*") if path.suffix in {".py", ".lua", ".js"}]
    referred = {int(n) for text in sources for n in re.findall(r"section (\d+) of\s+(?:the )?contract", text)}
    rules = {int(n) for text in sources for found in re.findall(r"\brules? (\d+(?:(?:, | and )\d+)*)", text) for n in re.findall(r"\d+", found)}
    assert referred >= {4, 5, 6}
    assert rules >= {1, 6, 10}
    text = PROTOCOL.read_text()
    assert {n for n in referred if not re.search(rf"^## {n}\. ", text, re.MULTILINE)} == set()
    assert {n for n in rules if f"\n**Rule {n}.** " not in text} == set()


# --- what is shown must hold ------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text):
        path, _, anchor = (target[0] or target[1]).partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists():
            missing.append(path)
        elif anchor:
            headings = re.findall(r"^#+ (.*)$", FENCE.sub("", linked.read_text()), re.MULTILINE)
            if anchor not in map(slug, headings):
                missing.append(f"{path}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:presence_server|tests|scripts|deploy|docs)/[\w./-]+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def examples(heading: str) -> Iterator[dict[str, Any]]:
    for language, text in FENCE.findall(section(PROTOCOL, heading)):
        if language == "json":
            yield from map(json.loads, text.splitlines())


def test_examples_of_client_messages_are_taken() -> None:
    shown = list(examples("### 5.1 From the client"))
    for message in shown:
        command = messages.parse(messages.decode(json.dumps(message)))
        # Every field of the example is one that the server knows.
        assert message.keys() - {"type"} <= set(command._fields)
    assert {message["type"] for message in shown} == {"heartbeat", *messages._PARSERS}


def test_examples_of_server_messages_are_what_is_sent() -> None:
    presence = status.Presence("online", 1, "active")
    times = {"heartbeat_ms": 1, "server_time": 1, "token_expires_at": 1}
    users = [messages.fragment("juan", presence)]
    sent = [
        messages.welcome(user="maria", connection="c-1", teams=["acme"], **times),
        messages.self_state("acme", "busy", 1),
        messages.snapshot("acme", "k", 1, users),
        messages.snapshot("acme", "k", 1, users, more=True),
        messages.delta("acme", "k", 1, users),
        messages.ack(1),
        messages.error(errors.BadMessage("no"), 1),
        messages.error(errors.RateLimited("no", 80)),
        messages.FEED_STALE,
    ]
    shown = list(examples("### 5.2 From the server"))
    assert [list(json.loads(event)) for event in sent] == [list(event) for event in shown]
    for event in shown:
        for entry in event.get("users", {}).values():
            assert list(entry) == ["status", "since", "reason"]


async def test_examples_of_http_answers_have_the_fields_that_are_answered(site: Site) -> None:
    await site.connect("juan")
    team = section(PROTOCOL, "### `GET /v1/teams/{team}/presence`")
    ((_, shown),) = [found for found in FENCE.findall(team) if found[0] == "json"]
    answered = await site.api("maria").presence(users="juan,nobody")
    assert list(json.loads(shown)) == list(answered)
    assert {user: list(entry) for user, entry in json.loads(shown)["users"].items()} == {
        user: list(entry) for user, entry in answered["users"].items()
    }
    user = section(PROTOCOL, "### `GET /v1/teams/{team}/presence/{user}`")
    public, detailed = (json.loads(text) for language, text in FENCE.findall(user) if language == "json")
    assert list(public) == list(await site.api("maria").user("juan"))
    assert list(detailed) == list(await site.api("juan").user("juan"))
    (problem,) = (json.loads(text) for _, text in FENCE.findall(section(PROTOCOL, "### Errors")))
    path = "/v1/teams/{team}/presence/juan"
    assert await site.api("juan").refused(422, "PUT", path, json={"status": "offline"}) == problem


# --- the README works -------------------------------------------------------------------------------------------------


def printed_token(command: str) -> str:
    """What a command of the README prints, with the secret of the workers under test."""
    program, _, arguments = command.partition("#")[0].strip().partition(" ")
    assert program == "presence-server"
    run = [sys.executable, "-m", "presence_server", *arguments.split()]
    done = subprocess.run(run, env=environment({"jwt_secret": SECRET}), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def token_commands() -> tuple[str, str]:
    (block,) = (text for text in blocks(README, "sh") if "presence-server token" in text)
    person, backend = (line for line in block.splitlines() if line.startswith("presence-server token"))
    return printed_token(person), printed_token(backend)


async def test_the_tokens_and_the_python_of_the_readme_work(new_site: NewSite) -> None:
    site = await new_site()
    person, backend = token_commands()
    await site.connect("maria", token=person)
    await (await site.connect("juan", teams=["acme"])).choose("busy")
    (snippet,) = blocks(README, "python")
    here = snippet.replace("http://127.0.0.1:8000", site.workers[0].http_url)
    assert here != snippet
    done = subprocess.run(
        [sys.executable, "-c", here], env=os.environ | {"TOKEN": backend}, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("['maria']\n", "")


async def test_the_page_of_the_readme_shows_a_dot(new_site: NewSite) -> None:
    site = await new_site()
    person, _ = token_commands()
    (page,) = blocks(README, "html")
    worker = site.workers[0]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        windows = Windows(browser)
        tab = await windows.open()
        await tab.route("**/page", lambda route: route.fulfill(body=f"<!doctype html>{page}", content_type="text/html"))
        await tab.route("**/presence-token", lambda route: route.fulfill(body=person))
        await tab.goto(f"{worker.http_url}/page")
        await tab.wait_for_selector('presence-avatar[user=maria][status=online]', timeout=SOON_S * 1000)
        await site.api("maria", teams=["acme"]).request("PUT", "/v1/teams/acme/presence/maria", json={"status": "busy"})
        await tab.wait_for_selector('presence-avatar[user=maria][status=busy]', timeout=SOON_S * 1000)
        await windows.close()
        await browser.close()


def test_the_python_of_the_integration_guide_mints_what_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    from presence_server.web.auth import TokenVerifier

    monkeypatch.setenv("PRESENCE_JWT_SECRET", SECRET)
    (snippet,) = blocks(INTEGRATION, "python")
    names: dict[str, Any] = {}
    exec(snippet, names)
    claims = TokenVerifier(Settings(jwt_secret=SECRET)).verify_now(names["presence_token"]("maria", ["acme"], "cookie"))
    assert claims is not None
    assert (claims.user, claims.teams, claims.admin) == ("maria", ("acme",), False)
    assert claims.session
    assert claims.issued_at_s
    assert jwt.__name__ in snippet


if __name__ == "__main__":
    OPERATIONS.write_text(TABLE.sub(lambda _: markdown_table(), OPERATIONS.read_text()))
