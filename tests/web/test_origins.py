"""Which pages may talk to the server, over WebSocket and over HTTP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from presence_server import settings
from presence_server.settings import Settings
from presence_server.web.origins import middleware, origin_allowed
from tests.support import tokens
from tests.web.edge import running

APP = "https://app.example.com"


def allowed(origin: str | None, host: str | None = "presence.example.com", **configured: tuple[str, ...]) -> bool:
    lines = {name: value for name, value in (("origin", origin), ("host", host)) if value is not None}
    return origin_allowed(Settings(**configured), Headers(lines))  # type: ignore[arg-type]


@pytest.mark.parametrize("listed", [(), (APP,), ("*",)])
def test_who_sends_no_origin_is_no_browser(listed: tuple[str, ...]) -> None:
    assert allowed(None, allowed_origins=listed)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("https://presence.example.com", "presence.example.com"),
        ("http://presence.example.com", "presence.example.com"),
        ("https://presence.example.com", "presence.example.com:443"),
        ("https://presence.example.com", "presence.example.com:80"),
        ("http://presence.example.com:80", "presence.example.com"),
        ("HTTPS://Presence.Example.COM", "presence.example.com"),
        ("https://presence.example.com", "Presence.Example.com"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://127.0.0.1:8443", "127.0.0.1:8443"),
    ],
)
def test_the_same_host(origin: str, host: str) -> None:
    assert allowed(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example.com", "presence.example.com"),
        ("https://presence.example.com.evil.com", "presence.example.com"),
        ("https://evil-presence.example.com", "presence.example.com"),
        ("https://presence.example.com:8443", "presence.example.com"),
        ("https://presence.example.com", "presence.example.com:8443"),
        ("https://presence.example.com@evil.com", "presence.example.com"),
        ("https://evil.com/presence.example.com", "presence.example.com"),
        ("https://evil.com\\presence.example.com", "presence.example.com"),
        ("https://evil.com#presence.example.com", "presence.example.com"),
        ("chrome-extension://presence.example.com", "presence.example.com"),
        ("presence.example.com", "presence.example.com"),
        ("null", "presence.example.com"),
        ("null", "null"),
        ("", ""),
        ("", "presence.example.com"),
        ("https://", ""),
        ("https://", None),
        ("https://presence.example.com", None),
        ("https://presence.example.com", ""),
    ],
)
def test_another_host(origin: str, host: str | None) -> None:
    assert not allowed(origin, host)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (APP, True),
        ("https://APP.example.com", True),
        ("https://other.example.com", True),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://app.example.com.evil.com", False),
        ("https://example.com", False),
        ("https://presence.example.com", False),
        ("null", False),
        ("*", False),
    ],
)
def test_listed_origins(origin: str, expected: bool) -> None:
    listed = settings.load({"PRESENCE_ALLOWED_ORIGINS": "https://App.example.com:443, https://other.example.com"}, {})
    assert allowed(origin, allowed_origins=listed.allowed_origins) is expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://app.example.com", True),
        ("https://a.b.example.com", True),
        ("https://APP.Example.com", True),
        ("https://example.com", False),
        ("https://.example.com", False),
        ("https://a..example.com", False),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://app.example.com.evil.com", False),
        ("https://evilexample.com", False),
        ("https://evil.com/.example.com", False),
        ("https://evil.com#.example.com", False),
        ("https://evil.com\\.example.com", False),
        ("https://user@app.example.com", False),
        ("null", False),
    ],
)
def test_any_host_below(origin: str, expected: bool) -> None:
    listed = settings.load({"PRESENCE_ALLOWED_ORIGINS": "https://*.example.com"}, {}).allowed_origins
    assert allowed(origin, allowed_origins=listed) is expected


def test_any_host_below_at_a_port() -> None:
    listed = settings.load({"PRESENCE_ALLOWED_ORIGINS": "http://*.localhost:3000"}, {}).allowed_origins
    assert allowed("http://app.localhost:3000", allowed_origins=listed)
    assert not allowed("http://app.localhost", allowed_origins=listed)


@pytest.mark.parametrize("origin", [APP, "null", "file://", "chrome-extension://abc", "", "anything"])
def test_any_origin(origin: str) -> None:
    assert allowed(origin, allowed_origins=("*",))


def test_two_origins_are_none() -> None:
    lines = [(b"origin", APP.encode()), (b"origin", b"https://evil.com"), (b"host", b"app.example.com")]
    assert not origin_allowed(Settings(), Headers(raw=lines))
    assert not origin_allowed(Settings(allowed_origins=(APP,)), Headers(raw=lines))


@given(origin=st.text(alphabet=st.characters(max_codepoint=255)))
def test_no_origin_but_its_own_passes(origin: str) -> None:
    passes = origin.strip().lower() in ("http://a", "https://a", "http://a:80", "http://a:443", "https://a:443")
    assert allowed(origin, "a") is passes


# --- CORS -------------------------------------------------------------------------------------------------------------


def preflight(method: str, headers: str = "authorization,content-type", origin: str = APP) -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}


TEAM = "/v1/teams/acme/presence"
ME = tokens.mint("maria", ["acme"])


def test_the_same_host_needs_no_cors() -> None:
    assert middleware(Settings()) == []


@pytest.mark.parametrize("listed", [APP, "https://*.example.com"])
async def test_cors_for_listed_origins(listed: str) -> None:
    async with running(allowed_origins=(listed,)) as edge:
        for method in ("GET", "PUT", "DELETE"):
            answer = await edge.call("OPTIONS", f"{TEAM}/maria", headers=preflight(method))
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == APP
            assert method in answer.headers["access-control-allow-methods"].split(", ")
            assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers
        answer = await edge.call("GET", TEAM, ME, headers={"Origin": APP})
        assert answer.headers["access-control-allow-origin"] == APP
        assert "Origin" in answer.headers["vary"]
        answer = await edge.call("GET", TEAM, headers={"Origin": APP})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == APP, "pages may read what is wrong"
        assert answer.headers["access-control-expose-headers"] == "Retry-After"


async def test_no_cors_for_others() -> None:
    async with running(allowed_origins=(APP,)) as edge:
        answer = await edge.call("OPTIONS", TEAM, headers=preflight("GET", origin="https://evil.com"))
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
        assert (await edge.call("OPTIONS", TEAM, headers=preflight("PATCH"))).status_code == 400
        assert (await edge.call("OPTIONS", TEAM, headers=preflight("GET", "x-other"))).status_code == 400
        answer = await edge.call("GET", TEAM, ME, headers={"Origin": "https://evil.com"})
        assert "access-control-allow-origin" not in answer.headers


async def test_no_cors_by_default() -> None:
    async with running() as edge:
        answer = await edge.call("OPTIONS", TEAM, headers=preflight("GET"))
        assert not [name for name in answer.headers if name.startswith("access-control")]
        answer = await edge.call("GET", TEAM, ME, headers={"Origin": APP})
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_cors_for_any_origin() -> None:
    async with running(allowed_origins=("*",)) as edge:
        answer = await edge.call("OPTIONS", TEAM, headers=preflight("PUT"))
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
        answer = await edge.call("GET", TEAM, ME, headers={"Origin": "https://anywhere.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
