"""What the demo serves besides the page, and that nobody else does (web/demo.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import jwt
import pytest

from tests.support.tokens import SECRET
from tests.support.worker import Worker

ROUTES = [("GET", "/"), ("GET", "/demo/config"), ("POST", "/demo/token"), ("POST", "/demo/admin-token")]


@pytest.fixture
def http(new_worker: Callable[..., Worker]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=new_worker("demo").http_url, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_server_that_is_no_demo_has_none_of_it(shared_workers: list[Worker], method: str, path: str) -> None:
    with httpx.Client(base_url=shared_workers[0].http_url, trust_env=False) as client:
        assert client.request(method, path, json={"user": "maria", "sid": "s1"}).status_code == 404


def test_token_is_for_a_person_of_the_demo_and_his_session(http: httpx.Client) -> None:
    answer = http.post("/demo/token", json={"user": "maria", "sid": "s1"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    claims = jwt.decode(answer.json()["token"], SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["sid"], claims["teams"]) == ("maria", "s1", ["acme"])
    assert "scope" not in claims


def test_administrator_s_token_holds_for_a_minute_and_the_demo_s_team(http: httpx.Client) -> None:
    token = http.post("/demo/admin-token", json={}).json()["token"]
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert (claims["teams"], claims["scope"], claims["exp"] - claims["iat"]) == (["acme"], "presence:admin", 60)


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (403, {"json": {"user": "boss", "sid": "s1"}}),
        (403, {"json": {"user": ["maria"], "sid": "s1"}}),
        (403, {"json": {}}),
        (400, {"json": {"user": "maria"}}),
        (400, {"json": {"user": "maria", "sid": "no spaces"}}),
        (400, {"json": {"user": "maria", "sid": 7}}),
        (400, {"json": ["maria"]}),
        (400, {"content": b"{", "headers": {"content-type": "application/json"}}),
        (413, {"json": {"user": "maria", "sid": "s" * 2_000}}),
        # A form of a foreign page can send this without asking first.
        (415, {"content": b'{"user":"maria","sid":"s1"}', "headers": {"content-type": "text/plain"}}),
    ],
)
def test_what_is_asked_wrongly_is_refused(http: httpx.Client, status: int, options: dict[str, object]) -> None:
    answer = http.post("/demo/token", **options)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("Expected ")


def test_every_person_offered_can_sign_in(http: httpx.Client) -> None:
    config = http.get("/demo/config").json()
    assert config["team"] == "acme"
    assert len(config["people"]) >= 2
    for person in config["people"]:
        assert http.post("/demo/token", json={"user": person["id"], "sid": "s1"}).status_code == 200
