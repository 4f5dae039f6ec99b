"""Section 3 of the contract: which pages may connect."""

from __future__ import annotations

import pytest

from tests.conftest import NewSite
from tests.support.site import Site


async def test_without_a_setting_the_same_host_passes(site: Site) -> None:
    """A page of the server's own origin connects; none at all is no browser and passes."""
    worker = site.workers[0]
    await site.connect("maria", origin=worker.http_url)
    await site.connect("juan", origin=None)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://localhost:1"]
)
async def test_another_origin_is_closed_with_4503(site: Site, origin: str) -> None:
    """Another Origin is not allowed, whatever its token is worth, and gets no welcome."""
    await site.refused(4503, origin=origin)


async def test_listed_origins_pass_and_others_do_not(new_site: NewSite) -> None:
    """PRESENCE_ALLOWED_ORIGINS, comma-separated, for WebSocket and for CORS."""
    site = await new_site(allowed_origins="https://app.example, https://admin.example")
    await site.connect("maria", origin="https://app.example")
    await site.connect("maria", origin="https://admin.example")
    await site.refused(4503, origin="https://app.example.evil.example")
    await site.refused(4503, origin="http://app.example")
    api = site.api("maria")
    path = "/v1/teams/{team}/presence"
    allowed = await api.request("GET", path, headers={"Origin": "https://app.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    foreign = await api.request("GET", path, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers


async def test_a_star_allows_any(new_site: NewSite) -> None:
    """`*`: any page may connect, and call over HTTP."""
    site = await new_site(allowed_origins="*")
    await site.connect("maria", origin="https://anywhere.example")
    response = await site.api("maria").request(
        "GET", "/v1/teams/{team}/presence", headers={"Origin": "https://anywhere.example"}
    )
    assert response.headers["access-control-allow-origin"] in ("*", "https://anywhere.example")


async def test_a_browser_may_ask_first(new_site: NewSite) -> None:
    """CORS preflight: writing with a bearer token is allowed from a listed origin, also for errors to be readable."""
    site = await new_site(allowed_origins="https://app.example")
    api = site.api(None)
    preflight = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    response = await api.request("OPTIONS", "/v1/teams/{team}/presence/maria", headers=preflight)
    assert response.is_success
    assert "PUT" in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    refused = await api.request("GET", "/v1/teams/{team}/presence", headers={"Origin": "https://app.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
