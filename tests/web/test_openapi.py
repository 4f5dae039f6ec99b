"""The description of the HTTP API, against what is there."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Route

from presence_server import errors
from presence_server.core.ids import PATTERN
from presence_server.web import api, metrics
from presence_server.web.openapi import DESCRIPTION
from tests.support import tokens
from tests.web.edge import running
from tests.web.test_api import EVERY_CALL

METHODS = {"GET", "PUT", "DELETE", "POST", "PATCH"}


def implemented() -> set[tuple[str, str]]:
    found = set()
    for route in [*api.routes, metrics.route]:
        assert isinstance(route, Route)
        endpoint = route.endpoint
        if isinstance(endpoint, type) and issubclass(endpoint, HTTPEndpoint):
            methods = {method for method in METHODS if hasattr(endpoint, method.lower())}
        else:
            methods = (route.methods or set()) & METHODS
        found |= {(method, route.path) for method in methods}
    return found


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in DESCRIPTION["paths"].items()
        for method, operation in item.items()
        if method.upper() in METHODS
    }


def test_all_that_is_there_is_described_and_nothing_else() -> None:
    assert set(operations()) == implemented()


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for operation in operations().values()]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for operation in operations().values())


def test_references_lead_somewhere() -> None:
    references = re.findall(r"'\$ref': '#/([^']+)'", repr(DESCRIPTION))
    assert references
    for reference in references:
        place: Any = DESCRIPTION
        for name in reference.split("/"):
            place = place[name]
        assert place["description" if "responses" in reference else "type"]


def test_every_status_of_an_error_is_described() -> None:
    described = set(DESCRIPTION["components"]["responses"])
    kinds: list[type[errors.PresenceError]] = [
        errors.PresenceError,
        *errors.PresenceError.__subclasses__(),
        *errors.BadMessage.__subclasses__(),
    ]
    assert {f"Problem{kind.http_status}" for kind in kinds} <= described


@pytest.mark.parametrize("parameter", ["team", "user"])
def test_ids_are_described_by_their_pattern(parameter: str) -> None:
    parameters = DESCRIPTION["paths"]["/v1/teams/{team}/presence/{user}"]["parameters"]
    (schema,) = [each["schema"] for each in parameters if each["name"] == parameter]
    assert schema["pattern"] == f"^{PATTERN}$"


async def test_answers_are_as_described() -> None:
    async with running() as edge:
        description = (await edge.call("GET", "/openapi.json")).json()
        assert description == DESCRIPTION
        token = tokens.mint("maria", ["acme"], admin=True)
        for method, path, options in EVERY_CALL:
            answer = await edge.call(method, path, token, **options)
            template = path.replace("acme", "{team}").replace("maria", "{user}")
            described = operations()[method, template]["responses"][str(answer.status_code)]
            if "content" in described:
                schema = described["content"]["application/json"]["schema"]
                names = re.findall(r"schemas/(\w+)", repr(schema))
                properties = [DESCRIPTION["components"]["schemas"][name]["properties"] for name in names]
                assert set(answer.json()) in [set(each) for each in properties]
