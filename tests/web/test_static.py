"""The headers of the browser client's files."""

from __future__ import annotations

from importlib import resources

from starlette.routing import Mount

from presence_server.web.static import Assets
from tests.support.site import Site
from tests.web.edge import running


async def test_files_are_taken_for_nothing_else() -> None:
    files = Assets(directory=str(resources.files("presence_server") / "static"))
    async with running([Mount("/static", files)]) as edge:
        answer = await edge.call("GET", "/static/presence.css")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/css")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        again = await edge.call("GET", "/static/presence.css", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        assert (await edge.call("GET", "/static/../web/auth.py")).status_code == 404


async def test_the_server_serves_them_so(site: Site) -> None:
    answer = await site.api(None).request("GET", "/static/presence.css")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await site.api(None).request("GET", "/healthz")).headers["x-content-type-options"] == "nosniff"
    assert (await site.api(None).request("GET", "/%6detrics")).status_code == 404
