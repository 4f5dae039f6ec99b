"""The HTTP API: who may do what, what is asked, what is answered."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from presence_server.core.ids import PATTERN
from presence_server.web.rates import REQUESTS, Rates
from presence_server.web.rates import WRITES as WRITE_RATE
from tests.support import tokens
from tests.support.budget import examples
from tests.web.edge import ANA, JUAN, MARIA, SINCE_MS, Edge, problem, running

TEAM = "/v1/teams/acme/presence"
SETTINGS = "/v1/teams/acme/settings"

ME = tokens.mint("maria", ["acme", "labs"])
JUANS = tokens.mint("juan", ["acme"])
STRANGER = tokens.mint("eve", ["other"])
ADMIN = tokens.mint("boss", ["acme"], admin=True)
ADMIN_OF_ALL = tokens.mint("root", ["*"], admin=True)
ADMIN_ELSEWHERE = tokens.mint("chief", ["other"], admin=True)

EVERY_CALL: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", TEAM, {}),
    ("GET", f"{TEAM}/maria", {}),
    ("PUT", f"{TEAM}/maria", {"json": {"status": "busy"}}),
    ("DELETE", f"{TEAM}/maria", {}),
    ("GET", SETTINGS, {}),
    ("PUT", SETTINGS, {"json": {"idle_timeout": 300}}),
]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Edge]:
    async with running() as found:
        yield found


@pytest.fixture
def edge(server: Edge) -> Edge:
    """The server, as if it had just been started."""
    server.reset()
    return server


# --- reading a team ---------------------------------------------------------------------------------------------------


async def test_a_team(edge: Edge) -> None:
    answer = await edge.call("GET", TEAM, JUANS)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "team": "acme",
        "epoch": "k3",
        "version": 815,
        "users": {
            "maria": {"status": "busy", "since": SINCE_MS, "reason": "chosen"},
            "juan": {"status": "online", "since": SINCE_MS + 1, "reason": "signed_in"},
        },
    }


@pytest.mark.parametrize(
    ("query", "users"),
    [
        ("status=online", ["juan"]),
        ("status=busy", ["maria"]),
        ("status=online,busy", ["maria", "juan"]),
        ("status=online&status=busy", ["maria", "juan"]),
        ("status=offline", []),
        ("users=maria", ["maria"]),
        ("users=juan,maria,juan", ["juan", "maria"]),
        ("users=juan&users=maria", ["juan", "maria"]),
        ("users=juan%2Cmaria", ["juan", "maria"]),
        ("users=juan,ana,never-seen", ["juan", "ana", "never-seen"]),
        ("users=juan,ana,never-seen&status=offline", ["ana", "never-seen"]),
        ("users=juan,ana&status=online", ["juan"]),
        ("users=", []),
        ("users=maria,", ["maria"]),
        ("users=a%2Bb%40example.com", ["a+b@example.com"]),
        ("users=a+b@example.com", ["a+b@example.com"]),
        ("other=1", ["maria", "juan"]),
    ],
)
async def test_a_team_filtered(edge: Edge, query: str, users: list[str]) -> None:
    answer = await edge.call("GET", f"{TEAM}?{query}", ME)
    assert list(answer.json()["users"]) == users


async def test_a_user_never_seen_is_listed_when_asked_for(edge: Edge) -> None:
    answer = await edge.call("GET", f"{TEAM}?users=never-seen", ME)
    assert answer.json()["users"] == {"never-seen": {"status": "offline", "since": None, "reason": None}}


@pytest.mark.parametrize("status", ["away", "", "online,away", "ONLINE", "online busy", "%00", "a" * 500])
async def test_a_status_that_does_not_exist(edge: Edge, status: str) -> None:
    answer = await edge.call("GET", f"{TEAM}?status={status}", ME)
    found = problem(answer, 422, "unknown_status")
    assert found["detail"].startswith("Expected 'status' to be online, busy or offline, got '")
    assert len(found["detail"]) < 120


async def test_a_thousand_users(edge: Edge) -> None:
    users = [f"user-{number}" for number in range(1000)]
    answer = await edge.call("GET", f"{TEAM}?users={','.join(users)}", ME)
    assert list(answer.json()["users"]) == users
    for one_more in ("one-more", users[0]):
        answer = await edge.call("GET", f"{TEAM}?users={','.join([*users, one_more])}", ME)
        found = problem(answer, 422, "too_many_users")
        assert found["detail"] == "Expected 'users' to name up to 1000 users, got 1001: ask in parts"


# --- reading a user ---------------------------------------------------------------------------------------------------

FULL = {
    "user": "maria",
    "status": "busy",
    "since": SINCE_MS,
    "reason": "chosen",
    "chosen": "busy",
    "last_active": SINCE_MS + 5,
    "connections": 2,
    "next_change": "offline",
    "next_change_at": SINCE_MS + 600_005,
}
PUBLIC = {name: FULL[name] for name in ("user", "status", "since", "reason")}


@pytest.mark.parametrize(
    ("token", "expected"),
    [(ME, FULL), (ADMIN, FULL), (ADMIN_OF_ALL, FULL), (JUANS, PUBLIC)],
    ids=["maria", "boss", "root", "juan"],
)
async def test_a_user(edge: Edge, token: str, expected: dict[str, Any]) -> None:
    answer = await edge.call("GET", f"{TEAM}/maria", token)
    assert answer.status_code == 200
    assert answer.json() == expected


@pytest.mark.parametrize("token", [JUANS, ADMIN])
async def test_a_user_never_seen(edge: Edge, token: str) -> None:
    found = (await edge.call("GET", f"{TEAM}/never-seen", token)).json()
    assert (found.pop("user"), found.pop("status")) == ("never-seen", "offline")
    assert set(found) == (set(FULL if token == ADMIN else PUBLIC) - {"user", "status"})
    assert set(found.values()) == {None}


async def test_ids_are_percent_decoded(edge: Edge) -> None:
    assert (await edge.call("GET", f"{TEAM}/a%2Bb%40example.com", ME)).json()["user"] == "a+b@example.com"
    assert (await edge.call("GET", f"{TEAM}/a+b@example.com", ME)).json()["user"] == "a+b@example.com"
    assert (await edge.call("GET", f"{TEAM}/%6Da%72ia", ME)).json() == FULL


NO_IDS = ["a%20b", "%0A", "maria%0A", "-a", "a" * 129, "%C3%A9", "%FF", "a%00", "%2E%2E", "a%2525", "%22"]


@pytest.mark.parametrize("user", NO_IDS)
async def test_what_is_no_id_of_a_user(edge: Edge, user: str) -> None:
    for method, options in (("GET", {}), ("PUT", {"json": {"status": "busy"}}), ("DELETE", {})):
        answer = await edge.call(method, f"{TEAM}/{user}", ADMIN, **options)
        assert problem(answer, 400, "bad_message")["detail"].startswith("Expected an id of a user")
    answer = await edge.call("GET", f"{TEAM}?users=maria,{user}", ME)
    problem(answer, 400, "bad_message")


@pytest.mark.parametrize("team", NO_IDS)
async def test_what_is_no_id_of_a_team(edge: Edge, team: str) -> None:
    for path in ("presence", "presence/maria", "settings"):
        answer = await edge.call("GET", f"/v1/teams/{team}/{path}", ADMIN_OF_ALL)
        assert problem(answer, 400, "bad_message")["detail"].startswith("Expected an id of a team")
        # Who is no administrator of all is told nothing about teams, not even whether they could exist.
        problem(await edge.call("GET", f"/v1/teams/{team}/{path}", ADMIN), 403, "not_a_member")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(30), deadline=None)
@given(user=st.text(min_size=1, max_size=20).filter(lambda text: "/" not in text and text not in (".", "..")))
async def test_an_id_or_a_refusal(edge: Edge, user: str) -> None:
    answer = await edge.call("GET", f"{TEAM}/{quote(user, safe='')}", JUANS)
    if re.fullmatch(PATTERN, user):
        assert answer.json()["user"] == user
    else:
        problem(answer, 400, "bad_message")


# --- choosing ---------------------------------------------------------------------------------------------------------


async def test_choosing_for_oneself(edge: Edge) -> None:
    answer = await edge.call("PUT", f"{TEAM}/maria", ME, json={"status": "online"})
    assert answer.status_code == 200
    assert answer.json() == FULL | {"status": "online", "chosen": "online", "reason": "chosen"}
    assert answer.json() == (await edge.call("GET", f"{TEAM}/maria", ME)).json()
    assert edge.worker.forced == []


async def test_choosing_for_another(edge: Edge) -> None:
    answer = await edge.call("PUT", f"{TEAM}/maria", ADMIN, json={"status": "online"})
    assert answer.json() == FULL | {"status": "online", "chosen": "online", "reason": "forced"}
    assert edge.worker.forced == ["maria"]


async def test_an_administrator_chooses_for_himself_like_anybody(edge: Edge) -> None:
    await edge.call("PUT", f"{TEAM}/boss", ADMIN, json={"status": "busy"})
    assert edge.worker.users["boss"].chosen == "busy"
    assert edge.worker.forced == []


async def test_choosing_for_one_who_is_offline(edge: Edge) -> None:
    found = (await edge.call("PUT", f"{TEAM}/ana", ADMIN, json={"status": "online"})).json()
    assert (found["status"], found["chosen"]) == ("offline", "online")


@pytest.mark.parametrize(
    ("body", "status", "code", "detail"),
    [
        ({"status": "offline"}, 422, "status_not_selectable", "Expected 'online' or 'busy', got 'offline'"),
        ({"status": "away"}, 422, "unknown_status", "Expected 'online' or 'busy', got 'away'"),
        ({"status": "Busy"}, 422, "unknown_status", "got 'Busy'"),
        ({"status": ""}, 422, "unknown_status", "got ''"),
        ({"status": None}, 400, "bad_message", "got null"),
        ({"status": True}, 400, "bad_message", "got a boolean"),
        ({"status": 1}, 400, "bad_message", "got a number"),
        ({"status": ["busy"]}, 400, "bad_message", "got an array"),
        ({"status": {}}, 400, "bad_message", "got an object"),
        ({}, 400, "bad_message", "Expected a member 'status'"),
        ([], 400, "bad_message", "Expected a JSON object, got an array"),
        ("busy", 400, "bad_message", "Expected a JSON object, got a string"),
        (None, 400, "bad_message", "Expected a JSON object, got null"),
    ],
)
async def test_what_cannot_be_chosen(edge: Edge, body: object, status: int, code: str, detail: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await edge.call("PUT", f"{TEAM}/maria", ME, content=json.dumps(body), headers=headers)
    assert detail in problem(answer, status, code)["detail"]
    assert edge.worker.users["maria"] == MARIA


async def test_members_not_known_are_ignored(edge: Edge) -> None:
    answer = await edge.call("PUT", f"{TEAM}/maria", ME, json={"status": "online", "by": "me"})
    assert answer.json()["chosen"] == "online"


# --- signing out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("token", "reason"), [(ME, "signed_out"), (ADMIN, "forced")])
async def test_signing_out(edge: Edge, token: str, reason: str) -> None:
    answer = await edge.call("DELETE", f"{TEAM}/maria", token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert (edge.worker.users["maria"].status, edge.worker.users["maria"].reason) == ("offline", reason)


# --- settings ---------------------------------------------------------------------------------------------------------


async def test_settings(edge: Edge) -> None:
    assert (await edge.call("GET", SETTINGS, ME)).json() == {"idle_timeout": 600, "disconnect_grace": 20}
    answer = await edge.call("PUT", SETTINGS, ADMIN, json={"idle_timeout": 300})
    assert (answer.status_code, answer.text) == (200, '{"idle_timeout":300,"disconnect_grace":20}')
    assert edge.worker.idle_timeout_ms == 300_000
    assert (await edge.call("GET", SETTINGS, ME)).json() == {"idle_timeout": 300, "disconnect_grace": 20}


@pytest.mark.parametrize(
    ("given_s", "kept_ms", "shown"),
    [(1, 1_000, "1"), (86_400, 86_400_000, "86400"), (1.5, 1_500, "1.5"), (60.0, 60_000, "60"), (2.0004, 2_000, "2")],
)
async def test_idle_timeouts(edge: Edge, given_s: float, kept_ms: int, shown: str) -> None:
    answer = await edge.call("PUT", SETTINGS, ADMIN, json={"idle_timeout": given_s})
    assert answer.text == f'{{"idle_timeout":{shown},"disconnect_grace":20}}'
    assert edge.worker.idle_timeout_ms == kept_ms


@pytest.mark.parametrize("value", ["0.999", "0", "-5", "86400.001", "1e300", "true", "false", '"300"', "[]", "{}"])
async def test_what_is_no_idle_timeout(edge: Edge, value: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await edge.call("PUT", SETTINGS, ADMIN, content=f'{{"idle_timeout":{value}}}', headers=headers)
    detail = problem(answer, 422, "bad_setting")["detail"]
    assert detail.startswith("Expected 'idle_timeout' to be a number of seconds from 1 to 86400, or null, got ")
    assert edge.worker.idle_timeout_ms == 600_000


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "0x10", "1_000"])
async def test_numbers_that_json_does_not_have(edge: Edge, value: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await edge.call("PUT", SETTINGS, ADMIN, content=f'{{"idle_timeout":{value}}}', headers=headers)
    problem(answer, 400, "bad_message")


async def test_something_must_be_set(edge: Edge) -> None:
    answer = await edge.call("PUT", SETTINGS, ADMIN, json={"timeout": 300})
    assert "Expected a member 'idle_timeout' or 'disconnect_grace'" in problem(answer, 400, "bad_message")["detail"]


async def test_what_is_not_named_stays_and_null_is_the_default(edge: Edge) -> None:
    async def put(**wanted: object) -> object:
        return (await edge.call("PUT", SETTINGS, ADMIN, json=wanted)).json()

    assert await put(idle_timeout=300, disconnect_grace=0) == {"idle_timeout": 300, "disconnect_grace": 0}
    assert await put(disconnect_grace=3600.5) == {"idle_timeout": 300, "disconnect_grace": 3600.5}
    assert await put(idle_timeout=None) == {"idle_timeout": 600, "disconnect_grace": 3600.5}
    assert await put(disconnect_grace=None) == {"idle_timeout": 600, "disconnect_grace": 20}


@pytest.mark.parametrize("value", ["-0.001", "86400.001", "true", '"20"', "[]"])
async def test_what_is_no_grace(edge: Edge, value: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await edge.call("PUT", SETTINGS, ADMIN, content=f'{{"disconnect_grace":{value}}}', headers=headers)
    detail = problem(answer, 422, "bad_setting")["detail"]
    assert detail.startswith("Expected 'disconnect_grace' to be a number of seconds from 0 to 86400, or null, got ")
    assert edge.worker.grace_ms == 20_000


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "options"), EVERY_CALL)
async def test_nobody_without_a_token(edge: Edge, method: str, path: str, options: dict[str, Any]) -> None:
    answer = await edge.call(method, path, **options)
    problem(answer, 401, "bad_token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="presence"'


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer x",
        f"Basic {ME}",
        ME,
        f"Bearer{ME}",
        f"Bearer {ME} {ME}",
        f"Bearer {ME},",
        "Bearer \xff",
    ],
)
async def test_nobody_with_another_header(edge: Edge, authorization: str) -> None:
    answer = await edge.call("GET", TEAM, headers={"Authorization": authorization.encode("latin-1")})
    problem(answer, 401, "bad_token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="presence", error="invalid_token"'
    assert ME not in answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR "])
async def test_the_scheme_is_of_either_case(edge: Edge, scheme: str) -> None:
    assert (await edge.call("GET", TEAM, headers={"Authorization": f"{scheme} {ME}"})).status_code == 200


async def test_one_authorization_is_enough(edge: Edge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(edge.url).port)
    lines = [f"GET {TEAM} HTTP/1.1", "Host: x", *[f"Authorization: Bearer {ME}"] * 2, "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode())
    assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("query", [f"token={ME}", f"access_token={ME}", f"jwt={ME}"])
async def test_tokens_in_urls_are_not_looked_at(edge: Edge, query: str) -> None:
    problem(await edge.call("GET", f"{TEAM}?{query}"), 401, "bad_token")


@pytest.mark.parametrize(
    "token",
    [
        tokens.mint("maria", ["acme"], ttl_s=-2),
        tokens.mint("maria", ["acme"], secret="y" * 40),
        tokens.unsigned("maria", ["acme"]),
    ],
    ids=["expired", "foreign", "unsigned"],
)
@pytest.mark.parametrize(("method", "path", "options"), EVERY_CALL)
async def test_nobody_with_a_bad_token(edge: Edge, method: str, path: str, options: dict[str, Any], token: str) -> None:
    problem(await edge.call(method, path, token, **options), 401, "bad_token")


@pytest.mark.parametrize("token", [STRANGER, ADMIN_ELSEWHERE, tokens.mint("eve", ["*"])], ids=["eve", "chief", "star"])
@pytest.mark.parametrize(("method", "path", "options"), EVERY_CALL)
async def test_strangers_are_told_the_same_of_every_team(
    edge: Edge, method: str, path: str, options: dict[str, Any], token: str
) -> None:
    existing = await edge.call(method, path, token, **options)
    made_up = await edge.call(method, path.replace("acme", "never-was"), token, **options)
    assert problem(existing, 403, "not_a_member") == problem(made_up, 403, "not_a_member")
    assert edge.worker.users == {"maria": MARIA, "juan": JUAN, "ana": ANA}
    assert edge.worker.idle_timeout_ms == 600_000


@pytest.mark.parametrize(("method", "path", "options"), EVERY_CALL)
async def test_administrators_may_all(edge: Edge, method: str, path: str, options: dict[str, Any]) -> None:
    for token in (ADMIN, ADMIN_OF_ALL):
        assert (await edge.call(method, path, token, **options)).is_success


@pytest.mark.parametrize(("method", "path", "options"), [call for call in EVERY_CALL if call[0] != "GET"])
async def test_members_may_not_write_for_others(edge: Edge, method: str, path: str, options: dict[str, Any]) -> None:
    problem(await edge.call(method, path, JUANS, **options), 403, "not_allowed")
    assert edge.worker.users == {"maria": MARIA, "juan": JUAN, "ana": ANA}
    assert edge.worker.idle_timeout_ms == 600_000


# --- bodies -----------------------------------------------------------------------------------------------------------

WRITES = [(f"{TEAM}/maria", b'{"status":"online"}'), (SETTINGS, b'{"idle_timeout":300}')]


@pytest.mark.parametrize(("path", "body"), WRITES)
@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;"])
async def test_json_is_taken(edge: Edge, path: str, body: bytes, media_type: str) -> None:
    answer = await edge.call("PUT", path, ADMIN, content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 200


@pytest.mark.parametrize(("path", "body"), WRITES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/html, application/json"},
    ],
)
async def test_nothing_else_is(edge: Edge, path: str, body: bytes, headers: dict[str, str]) -> None:
    problem(await edge.call("PUT", path, ADMIN, content=body, headers=headers), 415, "unsupported_media_type")


@pytest.mark.parametrize(("path", "body"), WRITES)
async def test_bodies_are_bounded(edge: Edge, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    fits = body.ljust(64 * 1024)
    assert (await edge.call("PUT", path, ADMIN, content=fits, headers=headers)).status_code == 200
    problem(await edge.call("PUT", path, ADMIN, content=fits + b" ", headers=headers), 413, "too_large")

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 16 * 1024

    problem(await edge.call("PUT", path, ADMIN, content=endless(), headers=headers), 413, "too_large")
    assert (await edge.call("GET", SETTINGS, ADMIN)).status_code == 200, "the server goes on"


@pytest.mark.parametrize("body", [b"", b"{", b"{}{}", b"status=busy", b"\xff\xfe", b"[" * 5000])
@pytest.mark.parametrize("path", [path for path, _ in WRITES])
async def test_bodies_are_json(edge: Edge, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    problem(await edge.call("PUT", path, ADMIN, content=body, headers=headers), 400, "bad_message")


async def test_a_request_given_up_half_way_is_no_error(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(edge.url).port)
    lines = [f"PUT {SETTINGS} HTTP/1.1", "Host: x", f"Authorization: Bearer {ADMIN}", "Expect: 100-continue"]
    lines += ["Content-Type: application/json", "Content-Length: 100", "", '{"idle_timeout":300']
    writer.write("\r\n".join(lines).encode())
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n", "the body is being read"
    requests = [task for task in asyncio.all_tasks() if "run_asgi" in repr(task.get_coro())]
    assert requests
    writer.close()
    await asyncio.wait(requests)
    assert edge.worker.idle_timeout_ms == 600_000
    assert "Exception" not in caplog.text


async def test_checks_come_in_order(edge: Edge) -> None:
    """401 before 403 before everything else: who may not do it is not told how it would be done."""
    nonsense: dict[str, Any] = {"content": b"\xff" * 70_000, "headers": {"Content-Type": "text/plain"}}
    for path in (f"{TEAM}/a%20b", SETTINGS):
        problem(await edge.call("PUT", path, **nonsense), 401, "bad_token")
        problem(await edge.call("PUT", path, STRANGER, **nonsense), 403, "not_a_member")
        problem(await edge.call("PUT", path, JUANS, **nonsense), 403, "not_allowed")
    problem(await edge.call("PUT", f"{TEAM}/a%20b", ADMIN, **nonsense), 400, "bad_message")
    problem(await edge.call("PUT", SETTINGS, ADMIN, **nonsense), 415, "unsupported_media_type")


# --- methods and paths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (TEAM, "GET, HEAD, OPTIONS"),
        (f"{TEAM}/maria", "DELETE, GET, HEAD, OPTIONS, PUT"),
        (SETTINGS, "GET, HEAD, OPTIONS, PUT"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
    ],
)
async def test_methods(edge: Edge, path: str, allowed: str) -> None:
    answer = await edge.call("POST", path, ADMIN, json={})
    assert problem(answer, 405, "method_not_allowed")["detail"] == f"Expected one of {allowed}, got POST"
    assert answer.headers["allow"] == allowed
    if "OPTIONS" in allowed:
        answer = await edge.call("OPTIONS", path)
        assert answer.status_code == 204
        assert sorted(answer.headers["allow"].split(", ")) == allowed.split(", ")


@pytest.mark.parametrize("path", [TEAM, f"{TEAM}/maria", SETTINGS, "/healthz", "/readyz", "/metrics", "/openapi.json"])
async def test_head_is_get_without_a_body(edge: Edge, path: str) -> None:
    answer = await edge.call("HEAD", path, ME)
    assert (answer.status_code, answer.content) == (200, b"")
    full = await edge.call("GET", path, ME)
    assert answer.headers["content-type"] == full.headers["content-type"]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/teams/acme", "/v2/teams/acme/presence", f"{TEAM}/a/b", f"{TEAM}/a%2Fb"]
)
async def test_paths_that_do_not_exist(edge: Edge, path: str) -> None:
    problem(await edge.call("GET", path, ME), 404, "not_found")


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "options"), EVERY_CALL)
async def test_unavailable(edge: Edge, method: str, path: str, options: dict[str, Any]) -> None:
    edge.worker.reachable = False
    answer = await edge.call(method, path, ADMIN, **options)
    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert edge.worker.counters.refusals["unavailable"] == 1


async def test_unavailable_without_the_issuers_keys() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/jwks.json"
        async with running(jwks_url=url) as edge:
            header, payload, signature = ME.split(".")
            of_an_issuer = f"eyJhbGciOiJFUzI1NiJ9.{payload}.{signature}"
            problem(await edge.call("GET", TEAM, of_an_issuer), 503, "unavailable")
            assert (await edge.call("GET", TEAM, f"{header}.{payload}.{signature}")).status_code == 200


async def test_one_user_cannot_take_all(edge: Edge) -> None:
    edge.app.state.http_rates = {"requests": Rates(clock=lambda: 0.0)}
    statuses = [(await edge.call("GET", SETTINGS, ME)).status_code for _ in range(int(REQUESTS.burst))]
    assert set(statuses) == {200}
    for method, path, options in EVERY_CALL:
        answer = await edge.call(method, path, ME, **options)
        assert problem(answer, 429, "rate_limited")["retry_ms"] == 21
        assert answer.headers["retry-after"] == "1"
    problem(await edge.call("GET", SETTINGS, f"{ME}x"), 401, "bad_token")
    assert (await edge.call("GET", SETTINGS, JUANS)).status_code == 200, "others are served"


async def test_the_rate_is_counted_from_the_first_request_on(edge: Edge) -> None:
    del edge.app.state.http_rates
    await edge.call("GET", SETTINGS, ME)
    await edge.call("GET", SETTINGS, ME)
    assert len(edge.app.state.http_rates) == 1


async def test_health(edge: Edge) -> None:
    edge.worker.ready = edge.worker.reachable = False
    edge.worker.draining = True
    answer = await edge.call("GET", "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_health_of_a_worker_of_which_a_part_has_failed(edge: Edge) -> None:
    edge.worker.failed.set()
    answer = await edge.call("GET", "/healthz")
    assert problem(answer, 503, "unavailable")["reasons"] == ["failed"]
    assert int(answer.headers["retry-after"]) >= 1


async def test_readiness(edge: Edge) -> None:
    answer = await edge.call("GET", "/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    edge.worker.ready = False
    answer = await edge.call("GET", "/readyz")
    assert problem(answer, 503, "unavailable")["reasons"] == ["redis"]
    assert int(answer.headers["retry-after"]) >= 1
    edge.worker.draining = True
    assert problem(await edge.call("GET", "/readyz"), 503, "unavailable")["reasons"] == ["draining"]
    edge.worker.ready = True
    assert problem(await edge.call("GET", "/readyz"), 503, "unavailable")["reasons"] == ["draining"]


async def test_json_that_no_machine_can_hold_is_told_as_it_came(edge: Edge) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await edge.call("PUT", SETTINGS, ADMIN, content=b'{"idle_timeout":1e999}', headers=headers)
    problem(answer, 422, "bad_setting")
    maria = "/v1/teams/acme/presence/maria"
    answer = await edge.call("PUT", maria, ADMIN, content=b'{"status":"\\ud83d"}', headers=headers)
    assert problem(answer, 422, "unknown_status")["detail"].endswith(r"got '\ud83d'")
    answer = await edge.call("PUT", maria, ADMIN, content=b'{"status":"busy","x":["\\ud83d",1e999]}', headers=headers)
    assert answer.status_code == 200


async def test_writes_have_a_rate_of_their_own(edge: Edge) -> None:
    """A choice or a sign-out costs much more than a read."""
    edge.app.state.http_rates = {"writes": Rates(WRITE_RATE, "writes", clock=lambda: 0.0)}
    maria = "/v1/teams/acme/presence/maria"
    statuses = [
        (await edge.call("PUT", maria, ME, json={"status": "busy"})).status_code
        for _ in range(int(WRITE_RATE.burst) - 1)
    ]
    assert set(statuses) == {200}
    assert (await edge.call("DELETE", maria, ME)).status_code == 204
    limited = await edge.call("DELETE", maria, ME)
    assert "at most 5 writes a second" in problem(limited, 429, "rate_limited")["detail"]
    assert (await edge.call("GET", maria, ME)).status_code == 200
    assert (await edge.call("DELETE", maria, ADMIN)).status_code == 204
