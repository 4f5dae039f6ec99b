"""What the edge uses of uvicorn beside its documentation: a version that changes it is told here, and not by users."""

from __future__ import annotations

import inspect
import tomllib
from importlib import metadata

import uvicorn
from packaging.requirements import Requirement
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from presence_server.web.server import DrainingServer
from tests.support.worker import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_next_version_is_kept_out_until_somebody_has_looked() -> None:
    (uvicorn_,) = (
        requirement
        for text in PROJECT["project"]["dependencies"]
        if (requirement := Requirement(text)).name == "uvicorn"
    )
    major, minor, *_ = map(int, metadata.version("uvicorn").split("."))
    assert metadata.version("uvicorn") in uvicorn_.specifier
    assert f"{major}.{minor + 1}" not in uvicorn_.specifier


def test_the_http_protocol_still_has_what_is_built_on() -> None:
    protocol = set(dir(HttpToolsProtocol))
    used = {"on_header", "on_headers_complete", "on_message_complete", "on_response_complete", "data_received"}
    used |= {"connection_made", "connection_lost", "shutdown", "_unset_keepalive_if_required"}
    assert used - protocol == set(), "uvicorn has renamed these; see web/http.py"
    source = inspect.getsource(HttpToolsProtocol.__init__) + inspect.getsource(HttpToolsProtocol.on_message_begin)
    state = {"parser", "transport", "flow", "loop", "cycle", "connections", "headers", "url", "config", "app_state"}
    assert {name for name in state if f"self.{name}" not in source} == set(), "see web/http.py"
    assert list(inspect.signature(HttpToolsProtocol.__init__).parameters)[1:4] == [
        "config",
        "server_state",
        "app_state",
    ]


def test_a_request_still_has_what_is_built_on() -> None:
    source = inspect.getsource(RequestResponseCycle.__init__)
    used = {"keep_alive", "disconnected", "response_started", "response_complete", "message_event"}
    assert {name for name in used if f"self.{name}" not in source} == set(), "see web/http.py"


def test_the_server_still_has_what_is_built_on() -> None:
    overridden = {"serve", "startup", "main_loop", "handle_exit"}
    assert {name for name in overridden if not hasattr(uvicorn.Server, name)} == set(), "see web/server.py"
    assert overridden <= set(vars(DrainingServer))
    assert {"connections", "tasks", "default_headers"} <= set(vars(ServerState()))
