"""The documentation keeps up with the code; that its snippets run is tested in test_readme.py.

``python -m tests.test_docs`` writes the table of settings into docs/operations.md.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import BaseRoute, Mount, Route

import presence_server
from presence_server import cli, errors
from presence_server.core import messages, status
from presence_server.core.codes import WEBSOCKET_ERRORS, CloseCode, ErrorCode, Reason
from presence_server.settings import VARIABLES, Settings, markdown_table
from presence_server.web import handshake
from presence_server.web.app import create_app
from tests.support.site import Site
from tests.support.tokens import SECRET
from tests.support.worker import ROOT

PACKAGE = Path(presence_server.__file__).parent
PROTOCOL = ROOT / "docs" / "protocol.md"
OPERATIONS = ROOT / "docs" / "operations.md"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

TABLE = re.compile(r"(?<=`\.venv/bin/python -m tests\.test_docs` -->\n).*?(?=<!-- /settings -->)", re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


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
    assert named <= {variable.name for variable in VARIABLES} | {"PRESENCE_TEST_UNIT", "PRESENCE_TEST_LONG"}


def calls(routes: list[BaseRoute]) -> Iterator[str]:
    """Everything the application answers, as the documentation writes it."""
    for route in routes:
        if isinstance(route, Mount):
            yield f"`{route.path}/`"
        elif isinstance(route, Route):
            of_class = {name.upper() for name in ("get", "put", "post", "delete") if hasattr(route.endpoint, name)}
            yield from (f"`{method} {route.path}`" for method in (route.methods or of_class) - {"HEAD"})


def test_every_call_is_documented() -> None:
    wanted = {f"`GET {handshake.PATH}`", *calls(create_app(Settings(jwt_secret=SECRET)).routes)}
    assert wanted >= {"`GET /v1/ws`", "`PUT /v1/teams/{team}/settings`", "`GET /metrics`", "`/static/`"}
    assert {call for call in wanted if call not in PROTOCOL.read_text()} == set()


def test_the_demos_own_paths_are_documented() -> None:
    app = create_app(Settings(jwt_secret=SECRET), demo=True)
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    assert paths > {"/", "/demo/token"}
    assert {path for path in paths if f"{path}`" not in PROTOCOL.read_text()} == set()


async def test_every_metric_is_documented(site: Site) -> None:
    exposed = (await site.api(None).request("GET", "/metrics")).text
    names = set(re.findall(r"^# TYPE (presence_\w+) ", exposed, re.MULTILINE))
    assert len(names) > 10
    documented = {name.partition("{")[0] for name in first_cells(section(OPERATIONS, "## Metrics")) - {"Metric"}}
    assert documented == names


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
    statuses = {(str(each.http_status), str(each.code)) for each in error_classes()}
    # What Starlette refuses by itself, and what nobody has foreseen.
    statuses |= {
        ("404", "not_found"),
        ("405", "method_not_allowed"),
        ("408", "request_timeout"),
        ("426", "upgrade_required"),
        ("431", "too_large"),
        ("500", "internal_error"),
    }
    # Of the WebSocket alone: types of messages, and a limit that ends a connection.
    assert rows == statuses - {("400", "unknown_type"), ("400", "rate_limited")}
    assert {code for _, code in rows} == set(ErrorCode) - {ErrorCode.UNKNOWN_TYPE}


def test_every_error_code_of_the_websocket_is_documented() -> None:
    assert first_cells(section(PROTOCOL, "### 5.3 Error codes")) - {"code"} == WEBSOCKET_ERRORS


def literal_close_codes() -> Iterator[str]:
    """Close codes that a module names by their number, as a number or as text, instead of by `CloseCode`."""
    for path in PACKAGE.rglob("*.py"):
        if path.name == "codes.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and re.fullmatch(r"10(0[1-9]|1[0-5])|40[0-4]\d|45\d\d", str(node.value)):
                yield f"{path.name}:{node.lineno}"


def test_close_codes_are_named_in_one_place() -> None:
    assert list(literal_close_codes()) == []


def test_every_close_code_is_documented() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| .* \| (.*) \|$", section(PROTOCOL, "### 5.4 Close codes"), re.MULTILINE)
    advice = {CloseCode(int(code)): what for codes, what in rows for code in codes.split(",")}
    # What the browser makes up, and what is put in other words before it is sent.
    assert set(CloseCode) - advice.keys() == {CloseCode.NO_CODE, CloseCode.INVALID_DATA, CloseCode.TOO_BIG}
    for code, what in advice.items():
        assert code.retry != bool(re.search(r"\bstop\b", what)), f"{code}: {what}"


def test_the_browser_stops_at_the_same_close_codes() -> None:
    source = (PACKAGE.parent / "browser" / "src" / "client" / "closing.js").read_text()
    _, _, table = source.partition("const STOPS = new Map([")
    stops = {int(code) for code in re.findall(r"\[\s*(\d+),", table.partition("\n]);")[0])}
    # Who was replaced waits until somebody looks at him again.
    assert stops == {code for code in CloseCode if not code.retry} - {CloseCode.REPLACED}
    # And at whatever may be added to them.
    first, last = (int(bound) for bound in re.findall(r"code >= (\d+) && code <= (\d+)", source)[0])
    assert stops == {code for code in CloseCode if first <= code <= last} - {CloseCode.REPLACED}
    named = {int(code) for code in re.findall(r"\bcode === (\d+)", source)}
    assert named
    assert named <= set(CloseCode)


def test_every_message_type_is_documented_and_no_other() -> None:
    source = (PACKAGE / "core" / "messages.py").read_text()
    sent = set(re.findall(r'"type": ?"(\w+)"', source))
    taken = {"heartbeat", *messages._PARSERS}
    assert sent >= {"welcome", "snapshot", "delta", "feed"}
    for heading, types in (("### 5.1 From the client", taken), ("### 5.2 From the server", sent)):
        assert set(re.findall(r"^#### `(\w+)`$", section(PROTOCOL, heading), re.MULTILINE)) == types


def test_every_reason_is_documented() -> None:
    assert first_cells(section(PROTOCOL, "### Reasons")) - {"reason"} == set(Reason)
    scripts = "\n".join(path.read_text() for path in (PACKAGE / "store").rglob("*.lua"))
    assert [reason for reason in Reason if not re.search(rf"['\"]{reason}['\"]", scripts)] == []


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
    code = "\n".join(sources)
    sections = set(re.findall(r"section (\d+) of\s+(?:the )?contract", code))
    rules = set(re.findall(r"\d+", " ".join(re.findall(r"\brules? (\d+(?:(?:, | and )\d+)*)", code))))
    assert sections >= {"4", "5", "6"}
    assert rules >= {"1", "6", "10"}
    text = PROTOCOL.read_text()
    assert sections <= set(re.findall(r"^## (\d)\. ", text, re.MULTILINE))
    assert rules <= set(re.findall(r"^\*\*Rule (\d+)\.\*\* ", text, re.MULTILINE))


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
        messages.explanation(8, "acme", status.UserDetail("maria", "online")),
        messages.error(errors.BadMessage("no"), 1),
        messages.error(errors.RateLimited("no", 80)),
        messages.feed(live=False),
        messages.feed(live=False, team="acme"),
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


if __name__ == "__main__":
    OPERATIONS.write_text(TABLE.sub(lambda _: markdown_table(), OPERATIONS.read_text()))
