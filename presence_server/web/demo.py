"""The demo: a page at `/`, and tokens for the people on it, for whoever asks.

Only `presence-server demo` mounts these routes. A server that is meant for anybody else never has them, since they hand
out what a host application gives to people it has signed in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from presence_server import errors
from presence_server.core.ids import PATTERN, is_id
from presence_server.settings import Settings
from presence_server.web import bodies
from presence_server.web.auth import mint

TEAM: Final = "acme"
PEOPLE: Final = {
    "maria": "María García",
    "juan": "Juan Pérez",
    "ana": "Ana Souza",
    "liam": "Liam O’Connor",
    "chloe": "Chloé Martin",
    "kenji": "Kenji Tanaka",
}
ADMINISTRATOR: Final = "demo-admin"
IDLE_TIMEOUTS_S: Final = (5, 60, 600)

TOKEN_TTL_S: Final = 3600
ADMIN_TOKEN_TTL_S: Final = 60
MAX_BODY_BYTES: Final = 1024

STATIC: Final = Path(__file__).resolve().parent.parent / "static"

CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)


async def page(request: Request) -> Response:
    """Serve the page."""
    headers = {
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return FileResponse(STATIC / "index.html", headers=headers)


async def config(request: Request) -> Response:
    """Tell who there is to sign in as, and which idle timeouts to offer."""
    people = [{"id": user, "name": name} for user, name in PEOPLE.items()]
    return bodies.answer({"team": TEAM, "people": people, "idle_timeouts_s": IDLE_TIMEOUTS_S})


async def token(request: Request) -> Response:
    """Mint a token for one of the demo's people: `{"user", "sid"}` → `{"token"}`."""
    body = await bodies.read_object(request, MAX_BODY_BYTES)
    user, session = body.get("user"), body.get("sid")
    if not isinstance(user, str) or user not in PEOPLE:
        raise errors.NotAllowed(f"Expected 'user' to be one of {', '.join(PEOPLE)}, got another")
    if not isinstance(session, str) or not is_id(session):
        raise errors.BadMessage(f"Expected 'sid' to match {PATTERN}, got something else")
    return bodies.answer({"token": mint(_secret(request), user=user, teams=[TEAM], session=session, ttl_s=TOKEN_TTL_S)})


async def admin_token(request: Request) -> Response:
    """Mint an administrator's token of a minute, for the settings of the team: `{}` → `{"token"}`."""
    await bodies.read_object(request, MAX_BODY_BYTES)
    return bodies.answer(
        {"token": mint(_secret(request), user=ADMINISTRATOR, teams=[TEAM], admin=True, ttl_s=ADMIN_TOKEN_TTL_S)}
    )


routes: Final[list[BaseRoute]] = [
    Route("/", page),
    Route("/demo/config", config),
    Route("/demo/token", token, methods=["POST"]),
    Route("/demo/admin-token", admin_token, methods=["POST"]),
]


def _secret(request: Request) -> str:
    settings: Settings = request.app.state.settings
    assert settings.jwt_secret is not None, "the demo makes up a secret where none is set"
    return settings.jwt_secret
