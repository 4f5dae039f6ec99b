"""How the browser's client is delivered: one version at a time, kept for as long as it holds, compressed."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from presence_server.web import assets
from presence_server.web.assets import Asset

OLD = {"presence.js": Asset.of(b"export const version = 1;\n" * 50), "worker.js": Asset.of(b"// worker 1\n")}
NEW = {"presence.js": Asset.of(b"export const version = 2;\n" * 50), "worker.js": Asset.of(b"// worker 2\n")}
PLAIN = {"Accept-Encoding": "identity"}


def serving(files: dict[str, Asset]) -> httpx.AsyncClient:
    app = Starlette(routes=assets.routes(files))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://presence.test")


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with serving(OLD) as client:
        yield client


async def entry(client: httpx.AsyncClient) -> str:
    """The path of the file that the short address stands for."""
    response = await client.get("/static/presence.js")
    found = re.fullmatch(r'export \* from "\./(presence-[0-9a-f]{16}/presence\.js)";\n', response.text)
    assert found, f"Expected one line that names the version, got {response.text}"
    return f"/static/{found[1]}"


async def test_the_short_address_is_asked_for_anew_each_time(client: httpx.AsyncClient) -> None:
    first = await client.get("/static/presence.js")
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["content-type"].startswith("text/javascript")
    again = await client.get("/static/presence.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_what_is_behind_it_may_be_kept_for_ever(client: httpx.AsyncClient) -> None:
    path = await entry(client)
    for name, asset in OLD.items():
        response = await client.get(path.replace("presence.js", name), headers=PLAIN)
        assert response.content == asset.content
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "content-encoding" not in response.headers


async def test_another_version_has_another_address() -> None:
    async with serving(OLD) as old, serving(NEW) as new, serving(OLD | {"worker.js": NEW["worker.js"]}) as mixed:
        assert len({await entry(each) for each in (old, new, mixed)}) == 3
        again = serving(OLD)
        assert await entry(again) == await entry(old)


async def test_a_page_of_another_version_gets_what_there_is_and_does_not_keep_it() -> None:
    async with serving(OLD) as old, serving(NEW) as new:
        response = await old.get(await entry(new), headers=PLAIN)
        assert (response.status_code, response.content) == (200, OLD["presence.js"].content)
        assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/static/presence-abc/other.js", "/static/presence-abc/../presence.js", "/static/x.js"]
)
async def test_nothing_else_is_there(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path.replace("..", "%2e%2e"))).status_code == 404


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=1.0, identity", True),
        ("gzip;q=0", False),
        ("gzip; q=0.00", False),
        ("br", False),
        ("", False),
    ],
)
async def test_compressed_for_who_can_read_it(client: httpx.AsyncClient, accepted: str, compressed: bool) -> None:
    path = await entry(client)
    async with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as response:
        raw = b"".join([piece async for piece in response.aiter_raw()])
    assert (response.headers.get("content-encoding") == "gzip") is compressed
    assert (gzip.decompress(raw) if compressed else raw) == OLD["presence.js"].content
    assert response.headers["vary"] == "Accept-Encoding"
    plain = await client.head(path, headers=PLAIN)
    assert (plain.headers["etag"] == response.headers["etag"]) is not compressed


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
async def test_who_has_it_is_not_sent_it_again(client: httpx.AsyncClient, form: str) -> None:
    path = await entry(client)
    etag = (await client.get(path)).headers["etag"]
    assert (await client.get(path, headers={"If-None-Match": form.format(etag)})).status_code == 304
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_the_built_files_come_with_the_package() -> None:
    built = assets.load()
    assert set(built) == {"presence.js", "worker.js"}
    async with serving(built) as client:
        response = await client.get(await entry(client))
    assert "PresenceClient" in response.text
