"""The HTTP API (section 6 of the contract): what backends ask and administrators do.

A request is checked in this order: who asks (401), how often (429), whether he may (403), and only then what he
asks (400, 413, 415, 422), so that a stranger learns nothing, not even which ids are well-formed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.datastructures import Headers, QueryParams
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from presence_server import errors
from presence_server.core.bucket import Rate
from presence_server.core.ids import PATTERN, is_id
from presence_server.core.messages import MAX_WATCHED
from presence_server.core.status import STATUSES, Presence, UserDetail, check_selectable, json_type
from presence_server.live.access import TeamSettings as Settings
from presence_server.store.operations import configure
from presence_server.web import bodies, openapi, problems
from presence_server.web.auth import Claims, TokenVerifier
from presence_server.web.rates import REQUESTS, WRITES, Rates

if TYPE_CHECKING:
    from presence_server.live.worker import Worker

MAX_BODY_BYTES: Final = 64 * 1024
MIN_IDLE_TIMEOUT_S: Final = 1
MAX_SETTING_S: Final = 24 * 3600


class _Endpoint(HTTPEndpoint):
    async def options(self, request: Request) -> Response:
        return Response(status_code=204, headers={"Allow": ", ".join(self._allowed_methods)})


class TeamPresence(_Endpoint):
    """Everyone of a team who is not offline, or those asked for."""

    async def get(self, request: Request) -> Response:
        _claims, team = await _member(request)
        query = _query(request)
        statuses, users = _asked_statuses(query), _asked_users(query)
        view = await _worker(request).access.read_team(team, users)
        found = {
            user: _shown(presence)
            for user, presence in view.users.items()
            if statuses is None or presence.status in statuses
        }
        return bodies.answer({"team": team, "epoch": view.epoch, "version": view.version, "users": found})


class UserPresence(_Endpoint):
    """One user of a team: what he is shown as, choosing for him, signing him out."""

    async def get(self, request: Request) -> Response:
        claims, team = await _member(request)
        user = _user(request)
        detail = await _worker(request).access.read_user(team, user)
        return bodies.answer(detail._asdict() if claims.admin or claims.user == user else _public(detail))

    async def put(self, request: Request) -> Response:
        claims, team, user = await _himself_or_admin(request)
        _count_write(request, claims)
        body = await bodies.read_object(request, MAX_BODY_BYTES)
        if "status" not in body:
            raise errors.BadMessage("Expected a member 'status' of 'online' or 'busy', got none")
        status = check_selectable(body["status"])
        access = _worker(request).access
        await access.choose(team, user, status, by=claims.user)
        return bodies.answer((await access.read_user(team, user))._asdict())

    async def delete(self, request: Request) -> Response:
        claims, team, user = await _himself_or_admin(request)
        _count_write(request, claims)
        await _worker(request).access.sign_out_user(team, user, by=claims.user)
        return Response(status_code=204, headers=bodies.NO_STORE)


class TeamSettings(_Endpoint):
    """A team's own settings, or the defaults where it has none."""

    async def get(self, request: Request) -> Response:
        _claims, team = await _member(request)
        return bodies.answer(_settings(await _worker(request).access.read_settings(team)))

    async def put(self, request: Request) -> Response:
        claims, team = await _member(request)
        if not claims.admin:
            raise errors.NotAllowed("Expected a token with the scope presence:admin, got one without")
        wanted = _wanted_settings(await bodies.read_object(request, MAX_BODY_BYTES))
        return bodies.answer(_settings(await _worker(request).access.write_settings(team, **wanted)))


async def healthz(request: Request) -> Response:
    """Tell that the process lives, or that a part of it has failed and it is about to end."""
    if _worker(request).failed.is_set():
        return _unavailable("failed", "Expected every part to work, got one that has failed: use another worker")
    return bodies.answer({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Tell whether this worker can serve: a load balancer asks before it sends anybody here."""
    worker = _worker(request)
    if worker.draining:
        return _unavailable("draining", "Expected a worker that stays, got one that drains: use another")
    if not worker.ready:
        return _unavailable("redis", "Expected Redis to answer, got nothing yet")
    return bodies.answer({"status": "ready"})


def _unavailable(reason: str, detail: str) -> Response:
    return problems.problem(
        503,
        errors.Unavailable.code,
        errors.Unavailable.title,
        detail,
        headers={"Retry-After": str(problems.UNAVAILABLE_RETRY_S)},
        reasons=[reason],
    )


async def description(request: Request) -> Response:
    """Describe the API in OpenAPI."""
    return Response(_DESCRIPTION, media_type="application/json")


routes: Final[list[BaseRoute]] = [
    Route("/v1/teams/{team}/presence", TeamPresence),
    Route("/v1/teams/{team}/presence/{user}", UserPresence),
    Route("/v1/teams/{team}/settings", TeamSettings),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/openapi.json", description),
]

_DESCRIPTION: Final = orjson.dumps(openapi.DESCRIPTION)


# --- who asks, and whether he may -------------------------------------------------------------------------------------


async def _authenticated(request: Request) -> Claims:
    verifier: TokenVerifier = request.app.state.verifier
    claims = await verifier.verify(_bearer_token(request.headers))
    # An administrator is the host application itself, asking for all of its users.
    if not claims.admin:
        _rates(request, "requests", REQUESTS).spend(claims.user)
    return claims


async def _member(request: Request) -> tuple[Claims, str]:
    claims = await _authenticated(request)
    team: str = request.path_params["team"]
    if not claims.member_of(team):
        raise errors.NotAMember("Expected a token whose 'teams' name this team, got one without")
    # Only an administrator of all teams gets here with something else.
    _check_id("team", team)
    return claims, team


async def _himself_or_admin(request: Request) -> tuple[Claims, str, str]:
    claims, team = await _member(request)
    if not claims.admin and claims.user != request.path_params["user"]:
        raise errors.NotAllowed("Expected the user himself or a token with the scope presence:admin, got neither")
    return claims, team, _user(request)


def _bearer_token(headers: Headers) -> str:
    values = headers.getlist("authorization")
    if len(values) != 1:
        raise errors.BadToken(f"Expected one header 'Authorization: Bearer <token>', got {len(values) or 'none'}")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer":
        raise errors.BadToken("Expected the header 'Authorization: Bearer <token>', got another scheme")
    return token.strip(" ")


def _count_write(request: Request, claims: Claims) -> None:
    if not claims.admin:
        _rates(request, "writes", WRITES).spend(claims.user)


def _rates(request: Request, what: str, rate: Rate) -> Rates:
    state = request.app.state
    if not hasattr(state, "http_rates"):
        state.http_rates = {}
    kinds: dict[str, Rates] = state.http_rates
    if what not in kinds:
        kinds[what] = Rates(rate, what)
    return kinds[what]


def _worker(request: Request) -> Worker:
    worker: Worker = request.app.state.worker
    return worker


# --- what is asked ----------------------------------------------------------------------------------------------------


def _user(request: Request) -> str:
    user: str = request.path_params["user"]
    _check_id("user", user)
    return user


def _check_id(name: str, value: str) -> None:
    if not is_id(value):
        raise errors.BadMessage(f"Expected an id of a {name} matching {PATTERN}, percent-encoded, got another string")


def _query(request: Request) -> QueryParams:
    # A plus sign is one (RFC 3986, section 3.4), and may stand in an id; that it means a space is a habit of forms.
    return QueryParams(request.scope["query_string"].replace(b"+", b"%2B"))


def _asked_statuses(query: QueryParams) -> set[str] | None:
    if "status" not in query:
        return None
    statuses = {status for value in query.getlist("status") for status in value.split(",")}
    unknown = statuses.difference(STATUSES)
    if unknown:
        raise errors.UnknownStatus(f"Expected 'status' to be online, busy or offline, got '{min(unknown)[:32]}'")
    return statuses


def _asked_users(query: QueryParams) -> list[str] | None:
    if "users" not in query:
        return None
    users = [user for value in query.getlist("users") for user in value.split(",") if user]
    if len(users) > MAX_WATCHED:
        raise errors.TooManyUsers(f"Expected 'users' to name up to {MAX_WATCHED} users, got {len(users)}: ask in parts")
    for user in users:
        _check_id("user", user)
    return list(dict.fromkeys(users))


def _wanted_settings(body: dict[str, Any]) -> dict[str, int]:
    """What is named is set, null to the default; what is not stays as it is."""
    wanted: dict[str, int] = {}
    if "idle_timeout" in body:
        wanted["idle_timeout_ms"] = _setting_ms(body, "idle_timeout", MIN_IDLE_TIMEOUT_S, configure.DEFAULT_IDLE)
    if "disconnect_grace" in body:
        wanted["grace_ms"] = _setting_ms(body, "disconnect_grace", 0, configure.DEFAULT_GRACE)
    if not wanted:
        raise errors.BadMessage("Expected a member 'idle_timeout' or 'disconnect_grace' in seconds, got neither")
    return wanted


def _setting_ms(body: dict[str, Any], name: str, least_s: int, default: int) -> int:
    value = body[name]
    if value is None:
        return default
    expected = f"Expected '{name}' to be a number of seconds from {least_s} to {MAX_SETTING_S}, or null"
    if type(value) is not int and type(value) is not float:
        raise errors.BadSetting(f"{expected}, got {json_type(value)}")
    if not least_s <= value <= MAX_SETTING_S:
        raise errors.BadSetting(f"{expected}, got {value}")
    return round(value * 1000)


# --- what is answered -------------------------------------------------------------------------------------------------


def _shown(presence: Presence) -> dict[str, str | int | None]:
    return {"status": presence.status, "since": presence.since, "reason": presence.reason}


def _public(detail: UserDetail) -> dict[str, str | int | None]:
    return {"user": detail.user, "status": detail.status, "since": detail.since, "reason": detail.reason}


def _settings(settings: Settings) -> dict[str, int | float]:
    return {"idle_timeout": _seconds(settings.idle_timeout_ms), "disconnect_grace": _seconds(settings.grace_ms)}


def _seconds(ms: int) -> int | float:
    whole_s, rest_ms = divmod(ms, 1000)
    return ms / 1000 if rest_ms else whole_s
