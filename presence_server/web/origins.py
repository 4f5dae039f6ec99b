"""Which web pages may talk to this server: the Origin of WebSocket handshakes, and CORS (section 3 of the contract)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from presence_server.settings import Settings

ANY: Final = "*"

# A serialized origin (RFC 6454, section 6.1) of a web page: no path, no user, no query.
_WEB_ORIGIN: Final = re.compile(r"https?://([^\s/?#@\\]+)", re.ASCII)
# Of a pattern's host: dots only between labels, so that nothing else than a host below is one.
_HOST: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+(?::[0-9]+)?", re.ASCII)
_DEFAULT_PORT: Final = re.compile(r":(?:80|443)$", re.ASCII)


def origin_allowed(settings: Settings, headers: Headers) -> bool:
    """Tell whether a WebSocket handshake with these headers may proceed.

    Browsers do not apply CORS to WebSockets but always send `Origin`; whoever sends none is no browser, and passes.
    Without PRESENCE_ALLOWED_ORIGINS only pages from the `Host` that was asked pass, whatever their scheme: a proxy that
    ends TLS would have changed it.
    """
    origins = headers.getlist("origin")
    if not origins or ANY in settings.allowed_origins:
        return True
    if len(origins) > 1:
        return False
    origin = origins[0].strip().lower()
    if settings.allowed_origins:
        return is_listed(origin, settings.allowed_origins)
    page = _WEB_ORIGIN.fullmatch(origin)
    return page is not None and _host(page[1]) == _host(headers.get("host", ""))


def is_listed(origin: str, allowed: Collection[str]) -> bool:
    """Tell whether an origin, in lower case, is one of these or below one such as `https://*.example.com`."""
    if origin in allowed:
        return True
    scheme, separator, host = origin.partition("://")
    return any(
        host.endswith(below) and _HOST.fullmatch(host) is not None
        for before, wildcard, below in (each.partition("*") for each in allowed)
        if wildcard and below and before == scheme + separator
    )


class _Cors(CORSMiddleware):
    def is_allowed_origin(self, origin: str) -> bool:
        return self.allow_all_origins or is_listed(origin.lower(), self.allow_origins)


def middleware(settings: Settings) -> list[Middleware]:
    """Return the CORS middleware for the allowed origins; none when only the same host is, since that needs no CORS."""
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            _Cors,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "HEAD", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    ]


def _host(host: str) -> str:
    return _DEFAULT_PORT.sub("", host.strip().lower())
