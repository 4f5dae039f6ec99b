"""What the demo serves besides the page, and that nobody else does (web/demo.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.support.tokens import SECRET
from tests.support.worker import Worker

ROUTES = [
    ("GET", "/"),
    ("GET", "/demo/app"),
    ("GET", "/demo/config"),
    ("POST", "/demo/token"),
    ("POST", "/demo/admin-token"),
    ("POST", "/demo/kill"),
]


@pytest.fixture
def http(new_worker: Callable[..., Worker], tmp_path: Path) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=new_worker("demo", data_dir=tmp_path).http_url, trust_env=False) as client:
        yield client


def claims_of(token: str) -> dict[str, Any]:
    """What a token says; and it is signed with a secret of the demo's own, whatever the environment has."""
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET, algorithms=["HS256"])
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_server_that_is_no_demo_has_none_of_it(shared_workers: list[Worker], method: str, path: str) -> None:
    with httpx.Client(base_url=shared_workers[0].http_url, trust_env=False) as client:
        assert client.request(method, path, json={"user": "maria", "sid": "s1"}).status_code == 404


def test_token_is_for_a_person_of_the_demo_and_his_session(http: httpx.Client) -> None:
    answer = http.post("/demo/token", json={"user": "maria", "sid": "s1"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    claims = claims_of(answer.json()["token"])
    assert (claims["sub"], claims["sid"], claims["teams"]) == ("maria", "s1", ["acme"])
    assert "scope" not in claims


def test_administrator_s_token_holds_for_a_minute_and_the_demo_s_team(http: httpx.Client) -> None:
    token = http.post("/demo/admin-token", json={}).json()["token"]
    claims = claims_of(token)
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
    for seat in config["seats"]:
        assert http.post("/demo/token", json={"user": seat, "sid": "s1"}).status_code == 200
    for person in config["people"]:
        if person["photo"] is not None:
            assert http.get(person["photo"]).headers["content-type"] == "image/svg+xml"
        if person["id"] not in config["seats"]:
            assert http.post("/demo/token", json={"user": person["id"], "sid": "s1"}).status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("localhost:3000", 200),
        ("LOCALHOST", 200),
        ("attacker.example", 421),
        ("127.0.0.1.attacker.example", 421),
        ("localhost.attacker.example:8000", 421),
        ("attacker.example@127.0.0.1", 421),
        ("[", 421),
    ],
)
def test_only_its_own_host_is_answered(http: httpx.Client, host: str, status: int) -> None:
    """A page whose name resolves to this machine (DNS rebinding) gets no token."""
    assert http.get("/demo/config", headers={"Host": host}).status_code == status


def test_a_lone_worker_is_not_killed(http: httpx.Client) -> None:
    assert http.post("/demo/kill", json={"connection": "w-1"}).status_code == 403
    assert http.post("/demo/kill", json={"connection": 7}).status_code == 400
    assert http.get("/healthz").status_code == 200
