"""The browser's client as files: a short address that never goes stale, and content that never changes behind it.

`/static/presence.js` says in one line where this version's files are, and is asked for anew each time, for a 304. The
files themselves stand under a name made of their content and may be kept for ever. So a page has all of one version:
never a new client and an old worker.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

FILES: Final = ("presence.js", "worker.js")
HASH_LENGTH: Final = 16

_REVALIDATE: Final = "no-cache"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """One file, ready to be sent as it is or compressed."""

    content: bytes
    compressed: bytes
    etag: str

    @classmethod
    def of(cls, content: bytes) -> Asset:
        # No time in it, so that every worker makes the same.
        return cls(content, gzip.compress(content, 9, mtime=0), hashlib.sha256(content).hexdigest()[:HASH_LENGTH])


def load() -> dict[str, Asset]:
    """Read the built files that come with the package."""
    folder = resources.files("presence_server") / "static"
    return {name: Asset.of((folder / name).read_bytes()) for name in FILES}


def routes(assets: Mapping[str, Asset]) -> list[BaseRoute]:
    """Return the routes that deliver the built files."""
    version = hashlib.sha256(b"".join(asset.content for asset in assets.values())).hexdigest()[:HASH_LENGTH]
    entry = Asset.of(f'export * from "./presence-{version}/presence.js";\n'.encode())

    async def stable(request: Request) -> Response:
        return _answer(request, entry, _REVALIDATE)

    async def versioned(request: Request) -> Response:
        asset = assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        # While a new version comes to one worker after another, a page may be sent on to one that does not have its
        # files yet, or no more. What there is goes together, too; it is only not to be kept under that name.
        return _answer(request, asset, _FOR_EVER if request.path_params["version"] == version else _REVALIDATE)

    return [
        Route("/static/presence.js", stable),
        Route("/static/presence-{version}/{name}", versioned),
    ]


def _answer(request: Request, asset: Asset, cache_control: str) -> Response:
    compressed = _accepts_gzip(request.headers.get("accept-encoding", ""))
    # Each representation has a tag of its own (RFC 9110, section 8.8.3.3).
    etag = f'"{asset.etag}-gzip"' if compressed else f'"{asset.etag}"'
    headers = {
        "Cache-Control": cache_control,
        "ETag": etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        # Nothing in it is secret: a page that isolates itself may load it from another host.
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if _matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if compressed:
        headers["Content-Encoding"] = "gzip"
    content = asset.compressed if compressed else asset.content
    return Response(content, headers=headers, media_type="text/javascript")


def _accepts_gzip(accepted: str) -> bool:
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return False


def _matches(asked: str, etag: str) -> bool:
    # Compared weakly (RFC 9110, section 13.1.2): proxies weaken tags of what they compress.
    return etag in {tag.strip().removeprefix("W/") for tag in asked.split(",")} or asked.strip() == "*"
