"""Worker processes: ``python -m presence_server serve`` with settings in its environment."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.ports import free_port
from tests.support.process import Process
from tests.support.timing import DRAIN_S, GRACE_S, LEASE_S
from tests.support.tokens import SECRET

ROOT = Path(__file__).parents[2]

FAST = {"jwt_secret": SECRET, "lease_ttl": LEASE_S, "disconnect_grace": GRACE_S, "drain_timeout": DRAIN_S}
"""The settings of the workers under test: outages and crashes play out in seconds."""


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """A clean environment with `settings` as ``PRESENCE_*`` variables; None leaves a variable out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    kept["PYTHONPATH"] = str(ROOT)
    kept["PYTHONUNBUFFERED"] = "1"
    return kept | {f"PRESENCE_{name.upper()}": str(value) for name, value in settings.items() if value is not None}


class Worker(Process):
    """One server process on a port of its own, the same after every restart.

    Args:
        name: how reports call it.
        directory: where its log goes.
        settings: by lower-case name without prefix, such as ``lease_ttl=3``.
        command: the subcommand.
    """

    def __init__(self, name: str, directory: Path, settings: Mapping[str, object], command: str = "serve") -> None:
        self.port = free_port()
        variables = environment({"host": "127.0.0.1", "port": self.port, **settings})
        super().__init__(name, [sys.executable, "-m", "presence_server", command], variables, directory)

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    def start(self) -> None:
        """Start and wait until ``/readyz`` says 200."""
        self.spawn()
        self.await_sync(lambda: self.readyz() == 200)

    def readyz(self) -> int | None:
        """The status of ``GET /readyz``, None where nobody answers."""
        return get_status(self.port, "/readyz")


def get_status(port: int, path: str) -> int | None:
    """The HTTP status of a GET on 127.0.0.1, None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
