"""The demo: a page at `/`, its application, and tokens for the people on it, for whoever asks.

Only `presence-server demo` mounts these routes. A server that is meant for anybody else never has them, since they hand
out what a host application gives to people it has signed in.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from presence_server import __version__, errors
from presence_server.core.ids import PATTERN, is_id
from presence_server.settings import Settings
from presence_server.web import bodies
from presence_server.web.auth import mint
from presence_server.web.own_host import OwnHost

TEAM: Final = "acme"
PEOPLE: Final = {
    "maria": "María García",
    "juan": "Juan Pérez",
    "ana": "Ana Souza",
    "liam": "Liam O’Connor",
    "chloe": "Chloé Martin",
    "kenji": "Kenji Tanaka",
    "noor": "Noor Haddad",
    "tomas": "Tomás Silva",
}
SEATS: Final = ("maria", "juan")
"""Whom visitors sign in as; the others live by themselves (`teammates`)."""
ADMINISTRATOR: Final = "demo-admin"
IDLE_TIMEOUTS_S: Final = (5, 60, 600)

TOKEN_TTL_S: Final = 3600
ADMIN_TOKEN_TTL_S: Final = 60
MAX_BODY_BYTES: Final = 1024

# So that the answer gets out first.
_LAST_WORDS_S: Final = 0.1

STATIC: Final = Path(__file__).resolve().parent.parent / "static"

CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "frame-src 'self'",
        "worker-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)


def middleware(settings: Settings) -> list[Middleware]:
    """Return what keeps pages of other hosts away from the tokens."""
    allowed = [urlsplit(origin).hostname for origin in settings.allowed_origins]
    return [Middleware(OwnHost, names=[settings.host, *filter(None, allowed)])]


async def front(request: Request) -> Response:
    """Serve the front page, with a frame for each person."""
    return _page("index.html")


async def application(request: Request) -> Response:
    """Serve the application that runs in such a frame, or in a window of its own."""
    return _page("app.html")


async def config(request: Request) -> Response:
    """Tell who there is, whom to sign in as, which idle timeouts to offer, and what runs here."""
    people = [{"id": user, "name": name, "photo": _photo(user)} for user, name in PEOPLE.items()]
    return bodies.answer(
        {
            "team": TEAM,
            "people": people,
            "seats": SEATS,
            "idle_timeouts_s": IDLE_TIMEOUTS_S,
            "version": __version__,
            "workers": getattr(_settings(request), "workers", 1),
        }
    )


async def token(request: Request) -> Response:
    """Mint a token for one of the demo's people: `{"user", "sid"}` → `{"token"}`."""
    body = await bodies.read_object(request, MAX_BODY_BYTES)
    user, session = body.get("user"), body.get("sid")
    if not isinstance(user, str) or user not in SEATS:
        raise errors.NotAllowed(f"Expected 'user' to be one of {', '.join(SEATS)}, got another")
    if not isinstance(session, str) or not is_id(session):
        raise errors.BadMessage(f"Expected 'sid' to match {PATTERN}, got something else")
    return bodies.answer({"token": mint(_secret(request), user=user, teams=[TEAM], session=session, ttl_s=TOKEN_TTL_S)})


async def admin_token(request: Request) -> Response:
    """Mint an administrator's token of a minute, for the settings of the team: `{}` → `{"token"}`."""
    await bodies.read_object(request, MAX_BODY_BYTES)
    return bodies.answer(
        {"token": mint(_secret(request), user=ADMINISTRATOR, teams=[TEAM], admin=True, ttl_s=ADMIN_TOKEN_TTL_S)}
    )


async def kill(request: Request) -> Response:
    """Kill the worker that holds a connection, where there are others: `{"connection"}` → `{"killed"}`.

    Workers share a port, and any of them may be asked. Who is not meant hangs up, so that the next attempt is another
    draw.
    """
    body = await bodies.read_object(request, MAX_BODY_BYTES)
    connection = body.get("connection")
    if not isinstance(connection, str) or not is_id(connection):
        raise errors.BadMessage(f"Expected 'connection' to match {PATTERN}, got something else")
    if getattr(_settings(request), "workers", 1) < 2:
        raise errors.NotAllowed("Expected at least two workers, got one. Start the demo with --workers 2")
    meant = connection.rpartition("-")[0] == request.app.state.worker.id
    if meant:
        asyncio.get_running_loop().call_later(_LAST_WORDS_S, os.kill, os.getpid(), signal.SIGKILL)
    response = bodies.answer({"killed": meant})
    response.headers["Connection"] = "close"
    return response


routes: Final[list[BaseRoute]] = [
    Route("/", front),
    Route("/demo/app", application),
    Route("/demo/config", config),
    Route("/demo/token", token, methods=["POST"]),
    Route("/demo/admin-token", admin_token, methods=["POST"]),
    Route("/demo/kill", kill, methods=["POST"]),
]


def _page(name: str) -> Response:
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return FileResponse(STATIC / "demo" / name, headers=headers)


def _photo(user: str) -> str | None:
    photo = Path("demo", "photos", f"{user}.svg")
    return f"/static/{photo.as_posix()}" if (STATIC / photo).exists() else None


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _secret(request: Request) -> str:
    secret = _settings(request).jwt_secret
    assert secret is not None, "the demo has a secret of its own"
    return secret
