"""The HTTP API described in OpenAPI 3.1, for `GET /openapi.json` (section 6 of the contract)."""

from __future__ import annotations

from typing import Any, Final

from presence_server import __version__
from presence_server.core.codes import Reason
from presence_server.core.ids import PATTERN
from presence_server.core.messages import MAX_WATCHED
from presence_server.core.status import SELECTABLE, STATUSES

_Object = dict[str, Any]

_ID: Final = {"type": "string", "pattern": f"^{PATTERN}$"}
_STATUS: Final = {"type": "string", "enum": [*STATUSES]}
_REASON: Final = {
    "type": ["string", "null"],
    "enum": [*map(str, Reason), None],
    "description": "Why the status is what it is; null for a user never seen",
}
_INSTANT: Final = {"type": ["integer", "null"], "description": "Milliseconds since the Unix epoch, by Redis's clock"}

_PRESENCE: Final = {"status": _STATUS, "since": _INSTANT, "reason": _REASON}
_PUBLIC: Final = {"user": _ID, **_PRESENCE}
_DETAIL: Final = {
    **_PUBLIC,
    "chosen": {"type": ["string", "null"], "enum": [*SELECTABLE, None], "description": "What the user picked"},
    "last_active": {**_INSTANT, "description": "The latest human input on any of the user's connections"},
    "connections": {"type": ["integer", "null"], "minimum": 0, "description": "Open ones, over all workers"},
    "next_change": {"type": ["string", "null"], "description": "The status that comes if nothing else happens"},
    "next_change_at": _INSTANT,
}


def _object(properties: _Object, *, required: list[str] | None = None, closed: bool = True) -> _Object:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        **({"additionalProperties": False} if closed else {}),
    }


def _answer(description: str, schema: _Object, media_type: str = "application/json") -> _Object:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _body(schema: _Object) -> _Object:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _reference(kind: str, name: str) -> _Object:
    return {"$ref": f"#/components/{kind}/{name}"}


def _problems(*statuses: int) -> _Object:
    return {str(status): _reference("responses", f"Problem{status}") for status in statuses}


_DETAILED: Final = _answer("Everything that is known of the user", _reference("schemas", "Detail"))
_TIMEOUT: Final = _answer("The team's settings", _reference("schemas", "Settings"))
_READ: Final = _problems(400, 401, 403, 429, 503)
_WRITE: Final = _problems(400, 401, 403, 413, 415, 422, 429, 503)

_TEAM: Final = {"name": "team", "in": "path", "required": True, "schema": _ID}
_USER: Final = {"name": "user", "in": "path", "required": True, "schema": _ID}
_STATUS_FILTER: Final = {
    "name": "status",
    "in": "query",
    "description": "Only users of these statuses. Who is offline is listed only when asked for in `users`",
    "style": "form",
    "explode": False,
    "schema": {"type": "array", "items": _STATUS, "minItems": 1},
}
_USERS_FILTER: Final = {
    "name": "users",
    "in": "query",
    "description": "Only these users, the offline ones included",
    "style": "form",
    "explode": False,
    "schema": {"type": "array", "items": _ID, "minItems": 1, "maxItems": MAX_WATCHED},
}

_PATHS: Final = {
    "/v1/teams/{team}/presence": {
        "parameters": [_TEAM],
        "get": {
            "operationId": "readTeam",
            "summary": "Who of a team is online or busy",
            "parameters": [_STATUS_FILTER, _USERS_FILTER],
            "responses": {"200": _answer("The team's view", _reference("schemas", "Team"))}
            | _problems(400, 401, 403, 422, 429, 503),
        },
    },
    "/v1/teams/{team}/presence/{user}": {
        "parameters": [_TEAM, _USER],
        "get": {
            "operationId": "readUser",
            "summary": "What a user is shown as; for himself and administrators also why, and what happens next",
            "responses": {
                "200": _answer(
                    "The user", {"anyOf": [_reference("schemas", "Detail"), _reference("schemas", "Public")]}
                )
            }
            | _READ,
        },
        "put": {
            "operationId": "chooseStatus",
            "summary": "Choose a status, for oneself or as an administrator",
            "requestBody": _body(_reference("schemas", "Choice")),
            "responses": {"200": _DETAILED} | _WRITE,
        },
        "delete": {
            "operationId": "signOut",
            "summary": "Sign a user out of the team everywhere, oneself or as an administrator",
            "responses": {"204": {"description": "Signed out"}} | _READ,
        },
    },
    "/v1/teams/{team}/settings": {
        "parameters": [_TEAM],
        "get": {
            "operationId": "readSettings",
            "summary": "A team's settings",
            "responses": {"200": _TIMEOUT} | _READ,
        },
        "put": {
            "operationId": "writeSettings",
            "summary": "Change a team's settings, as an administrator; holds for connected users at once",
            "requestBody": _body(_reference("schemas", "WantedSettings")),
            "responses": {"200": _TIMEOUT} | _WRITE,
        },
    },
    "/healthz": {
        "get": {
            "operationId": "live",
            "summary": "Whether the process lives, and no part of it has failed",
            "security": [],
            "responses": {"200": _answer("It does", _object({"status": {"const": "ok"}}))} | _problems(503),
        },
    },
    "/readyz": {
        "get": {
            "operationId": "ready",
            "summary": "Whether this worker can serve",
            "security": [],
            "responses": {"200": _answer("It can", _object({"status": {"const": "ready"}}))} | _problems(503),
        },
    },
    "/metrics": {
        "get": {
            "operationId": "metrics",
            "summary": "This worker's figures for Prometheus",
            "security": [],
            "responses": {"200": _answer("Text of version 0.0.4", {"type": "string"}, "text/plain")},
        },
    },
    "/openapi.json": {
        "get": {
            "operationId": "describe",
            "summary": "This description",
            "security": [],
            "responses": {"200": _answer("OpenAPI 3.1", {"type": "object"})},
        },
    },
}

_SCHEMAS: Final = {
    "Presence": _object(_PRESENCE),
    "Public": _object(_PUBLIC),
    "Detail": _object(_DETAIL),
    "Team": _object(
        {
            "team": _ID,
            "epoch": {"type": "string"},
            "version": {"type": "integer", "minimum": 0},
            "users": {"type": "object", "additionalProperties": _reference("schemas", "Presence")},
        }
    ),
    "Choice": _object({"status": {"type": "string", "enum": ["online", "busy"]}}, closed=False),
    "Settings": _object(
        {
            "idle_timeout": {
                "type": "number",
                "minimum": 1,
                "maximum": 86400,
                "description": "Seconds without input after which a user is offline",
            },
            "disconnect_grace": {
                "type": "number",
                "minimum": 0,
                "maximum": 86400,
                "description": "Seconds for which a lost connection is forgiven",
            },
        },
        closed=False,
    ),
    # What is not named stays as it is, null goes back to the default.
    "WantedSettings": {
        "type": "object",
        "properties": {
            "idle_timeout": {"type": ["number", "null"], "minimum": 1, "maximum": 86400},
            "disconnect_grace": {"type": ["number", "null"], "minimum": 0, "maximum": 86400},
        },
        "anyOf": [{"required": ["idle_timeout"]}, {"required": ["disconnect_grace"]}],
    },
    "Problem": _object(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string"},
        },
        closed=False,
    ),
}


_RETRY_AFTER: Final = {
    "Retry-After": {"required": True, "description": "Seconds", "schema": {"type": "integer", "minimum": 1}}
}
_CHALLENGE: Final = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}


def _problem_answer(description: str, headers: _Object | None = None) -> _Object:
    answer = _answer(description, _reference("schemas", "Problem"), "application/problem+json")
    return answer if headers is None else {**answer, "headers": headers}


_PROBLEMS: Final = {
    "Problem400": _problem_answer("Not of the described form"),
    "Problem401": _problem_answer("No token, or one that is refused", _CHALLENGE),
    "Problem403": _problem_answer("Not a member of the team, whether it exists or not; or not allowed to do this"),
    "Problem413": _problem_answer("The body is larger than 64 KiB"),
    "Problem415": _problem_answer("The body is not application/json"),
    "Problem422": _problem_answer("Of the described form, but out of range or not to be chosen"),
    "Problem429": _problem_answer("More than 50 requests a second of one user", _RETRY_AFTER),
    "Problem503": _problem_answer("Redis or the issuer's key set is out of reach, or the worker drains", _RETRY_AFTER),
}

DESCRIPTION: Final[_Object] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Presence server",
        "version": __version__,
        "description": "Who of your team is online, busy or offline. Times are integer milliseconds.",
        "license": {"name": "MIT", "identifier": "MIT"},
    },
    "servers": [{"url": "/"}],
    "security": [{"token": []}],
    "paths": _PATHS,
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        "schemas": _SCHEMAS,
        "responses": _PROBLEMS,
    },
}
