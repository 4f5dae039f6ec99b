"""Section 6 of the contract: errors are problem documents, and who may do what."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.api import Api, problem
from tests.support.site import Site

USER = "/v1/teams/{team}/presence/juan"
TEAM = "/v1/teams/{team}/presence"
SETTINGS = "/v1/teams/{team}/settings"

CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", TEAM, None),
    ("GET", USER, None),
    ("PUT", USER, {"status": "busy"}),
    ("DELETE", USER, None),
    ("GET", SETTINGS, None),
    ("PUT", SETTINGS, {"idle_timeout": 300}),
]


def _ask(body: object) -> dict[str, object]:
    return {} if body is None else {"json": body}


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_401_without_a_good_token(site: Site, method: str, path: str, body: object) -> None:
    """No token, another scheme, a bad or expired one: 401, and how to authenticate."""
    for api in (
        site.api(None),
        site.api(token="no-token"),
        site.api(token=site.token("juan", ttl_s=-60)),
        site.api(token=site.token("juan", secret="another-secret-that-is-long-enough-for-hs256-01234")),
    ):
        response = await api.request(method, path, **_ask(body))
        assert response.status_code == 401
        assert problem(response)["code"] == "bad_token"
        assert response.headers["www-authenticate"].lower().startswith("bearer")
    headers = {"Authorization": "Basic anVhbjp4"}
    assert (await site.api(None).request(method, path, headers=headers, **_ask(body))).status_code == 401


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_403_for_who_is_not_a_member(site: Site, method: str, path: str, body: object) -> None:
    """Of another team, even as its administrator, whether the team exists or not: the same 403."""
    await site.connect("ana")
    answers = []
    for team in (site.team, site.unique("never-used")):
        for admin in (False, True):
            token = site.token("juan", teams=[site.unique("elsewhere")], admin=admin)
            api = site.api(token=token)
            api.team = team
            answers.append(await api.refused(403, method, path, **_ask(body)))
    assert {answer["code"] for answer in answers} == {"not_a_member"}
    assert len({json.dumps(answer).replace(site.unique("never-used"), site.team) for answer in answers}) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PUT", USER, {"status": "busy"}), ("DELETE", USER, None), ("PUT", SETTINGS, {"idle_timeout": 300})],
)
async def test_403_for_members_who_write_for_others(site: Site, method: str, path: str, body: object) -> None:
    """Only he himself or an administrator writes for someone, only an administrator changes settings."""
    juan = await site.connect("juan")
    await site.api("maria").refused(403, method, path, **_ask(body))
    if path == SETTINGS:
        await site.api("juan").refused(403, method, path, **_ask(body))
    await juan.quiet_for(0.3)
    assert juan.view().chosen == "online"


async def test_403_for_almost_administrators(site: Site) -> None:
    """The scope is a word of its own, not a part of one."""
    for scope in ("presence:administrator", "xpresence:admin", "presence", "admin", ["presence:admin"]):
        token = site.token("maria", scope=scope)
        response = await site.api(token=token).request("PUT", USER, json={"status": "busy"})
        assert response.status_code in (401, 403)
    token = site.token("maria", scope="mail presence:admin calendar")
    assert (await site.api(token=token).request("PUT", USER, json={"status": "busy"})).is_success


@pytest.mark.parametrize("path", ["/v1/nothing", "/v2/teams/acme/presence", "/v1/teams", "/v1/teams/{team}"])
async def test_404(site: Site, path: str) -> None:
    """What is not there is a problem document too."""
    await site.api("juan").refused(404, "GET", path)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", TEAM), ("DELETE", TEAM), ("POST", USER), ("PATCH", USER), ("DELETE", SETTINGS), ("POST", "/healthz")],
)
async def test_405(site: Site, method: str, path: str) -> None:
    """And what is allowed is told."""
    response = await site.api("juan").request(method, path)
    assert response.status_code == 405
    problem(response)
    assert "GET" in response.headers["allow"]


@pytest.mark.parametrize("path", [USER, SETTINGS])
@pytest.mark.parametrize("body", [b"", b"{", b"hello", b"\xff\xfe", b"[" * 5_000, b'{"status":"busy"'])
async def test_400_for_what_is_not_json(site: Site, path: str, body: bytes) -> None:
    """A body that cannot be read."""
    api = site.api("juan", admin=True)
    answer = await api.refused(400, "PUT", path, content=body, headers={"Content-Type": "application/json"})
    assert answer["code"] == "bad_message"


@pytest.mark.parametrize("path", [USER, SETTINGS])
@pytest.mark.parametrize("body", [[], 7, "busy", None, {}, {"status": 7}, {"status": None}, {"idle_timeout": "x"}])
async def test_json_of_the_wrong_shape(site: Site, path: str, body: object) -> None:
    """400 or 422, never a server error, and nothing changes."""
    api = site.api("juan", admin=True)
    response = await api.request(
        "PUT", path, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    assert response.status_code in (400, 422)
    problem(response)
    assert (await api.user("juan"))["chosen"] is None


@pytest.mark.parametrize(("status", "code"), [("offline", "status_not_selectable"), ("away", "unknown_status")])
async def test_422_for_a_status_that_cannot_be_chosen(site: Site, status: str, code: str) -> None:
    """By himself and by an administrator."""
    for api in (site.api("juan"), site.admin()):
        assert (await api.refused(422, "PUT", USER, json={"status": status}))["code"] == code


async def test_429_for_a_flood_of_one_user(site: Site) -> None:
    """Hundreds of calls at once by one user: some are told to wait, and other users notice nothing."""
    user = site.unique("flood")
    head = f"GET {SETTINGS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.token(user)}\r\n\r\n"
    # Written in one go: an HTTP client would take longer over each call than the limit asks for.
    reader, writer = await asyncio.open_connection("127.0.0.1", site.workers[0].port)
    writer.write(head.replace("{team}", site.team).encode() * 600)
    writer.write(head.replace("{team}", site.team).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
    answers = (await reader.read(-1)).decode()
    writer.close()
    await writer.wait_closed()
    assert answers.count("HTTP/1.1 200") >= 100
    refused = answers[answers.index("HTTP/1.1 429") :].partition("HTTP/1.1 200")[0].lower()
    assert "retry-after: " in refused
    assert '"code":"rate_limited"' in refused.replace(" ", "")
    assert (await site.api(site.unique("juan")).settings())["idle_timeout"] == 600


async def test_413_and_415(site: Site) -> None:
    """Too large a body, and one that is not said to be JSON."""
    api = site.api("juan")
    large = json.dumps({"status": "busy", "filler": "x" * 2_000_000}).encode()
    await api.refused(413, "PUT", USER, content=large, headers={"Content-Type": "application/json"})
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        await api.refused(415, "PUT", USER, content=b'{"status":"busy"}', headers={"Content-Type": media_type})
    charset = {"Content-Type": "application/json; charset=utf-8"}
    assert (await api.request("PUT", USER, content=b'{"status":"busy"}', headers=charset)).is_success


@pytest.mark.parametrize("query", ["status=away", "users=a%20b", "users=a%7Db", "users=a%0Ab"])
async def test_wrong_queries(site: Site, query: str) -> None:
    """An unknown status or ids that are none: 400 or 422."""
    response = await site.api("juan").request("GET", f"{TEAM}?{query}")
    assert response.status_code in (400, 422)
    problem(response)


@pytest.mark.parametrize("bad_id", ["a%20b", "a%7Db", "%00", "a%0D%0Ab", "%2E%2E", "%F0%9F%98%80", "x" * 129])
async def test_paths_with_ids_that_are_none(site: Site, bad_id: str) -> None:
    """A user or team that cannot exist: a client error, never a server error."""
    for path in (f"{TEAM}/{bad_id}", f"/v1/teams/{bad_id}/presence"):
        response = await site.api("juan", admin=True).request("GET", path)
        assert 400 <= response.status_code < 500
        problem(response)


async def test_an_error_reveals_nothing_of_the_inside(site: Site) -> None:
    """No stack traces, no names of modules or files."""
    api: Api = site.api("juan")
    for response in (
        await api.request("PUT", USER, content=b"{", headers={"Content-Type": "application/json"}),
        await api.request("GET", "/v1/teams/a%00b/presence"),
        await site.api(token="x.y.z").request("GET", TEAM),
    ):
        for word in ("Traceback", ".py", "presence_server", "redis"):
            assert word not in response.text
