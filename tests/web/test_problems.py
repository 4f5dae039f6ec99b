"""Errors over HTTP: every one is a problem answer, and none tells more than it should."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_server import errors
from tests.web.edge import Edge, problem, running


class Raiser:
    """Routes that raise what the test wants to be raised."""

    def __init__(self) -> None:
        self.error: Exception = RuntimeError()
        self.route = Route("/raise", self.endpoint, methods=["GET"])

    async def endpoint(self, request: Request) -> Response:
        raise self.error


@pytest.fixture
def raiser() -> Raiser:
    return Raiser()


@pytest.fixture
async def edge(raiser: Raiser) -> AsyncIterator[Edge]:
    async with running([raiser.route]) as found:
        yield found


def every_error() -> list[errors.PresenceError]:
    """One of each kind of error that can be answered."""
    found: list[errors.PresenceError] = []
    kinds: list[type[errors.PresenceError]] = [errors.PresenceError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__module__ == errors.__name__ and not issubclass(kind, errors.StartupError):
            text = "Expected this, got that"
            found.append(kind(text, 1500) if issubclass(kind, errors.RateLimited) else kind(text))
    return found


async def test_every_error_is_a_problem(edge: Edge, raiser: Raiser) -> None:
    for error in every_error():
        raiser.error = error
        answer = await edge.call("GET", "/raise")
        found = problem(answer, error.http_status, error.code)
        assert (found["title"], found["detail"]) == (error.title, "Expected this, got that")
        assert ("retry-after" in answer.headers) is (error.http_status in (429, 503))
        assert ("www-authenticate" in answer.headers) is (error.http_status == 401)
    assert edge.worker.counters.refusals.total() == len(every_error())


async def test_when_to_come_back(edge: Edge, raiser: Raiser) -> None:
    raiser.error = errors.RateLimited("Expected less", 1500)
    answer = await edge.call("GET", "/raise")
    assert problem(answer, 429, "rate_limited")["retry_ms"] == 1500
    assert answer.headers["retry-after"] == "2", "whole seconds, rounded up"


async def test_what_starlette_raises(edge: Edge, raiser: Raiser) -> None:
    for status, code in ((404, "not_found"), (413, "too_large"), (400, "bad_request"), (418, "im_a_teapot")):
        raiser.error = HTTPException(status, headers={"X-Kept": "yes"})
        answer = await edge.call("GET", "/raise")
        found = problem(answer, status, code)
        assert answer.headers["x-kept"] == "yes"
        assert found["title"]


async def test_bugs_are_logged_once_and_not_shown(edge: Edge, raiser: Raiser, caplog: pytest.LogCaptureFixture) -> None:
    raiser.error = RuntimeError("the secret is 1234")
    with caplog.at_level(logging.INFO):
        answer = await edge.call("GET", "/raise")
    problem(answer, 500, "internal_error")
    assert "1234" not in answer.text
    assert "Traceback" not in answer.text
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == 1
    assert "the secret is 1234" in caplog.text, "who reads the log learns what it was"
    assert edge.worker.counters.refusals["internal_error"] == 1
