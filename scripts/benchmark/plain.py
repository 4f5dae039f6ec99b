"""What the server is measured against: a WebSocket endpoint as one writes it with Starlette, without Redis.

It keeps the sockets of each team in a dictionary, and sends a change to each of them in turn. For a fair comparison it
speaks as much of the server's language as the load generator looks at, and runs on the same server with the same
settings: uvicorn, `websockets-sansio`, uvloop, httptools, no deflate, pings every 20 seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import cache
from typing import Any

import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from benchmark.machine import raise_file_limit

_teams: dict[str, dict[WebSocket, None]] = {}
_last_active: dict[str, float] = {}
_count = 0


@cache
def _snapshot(team: str, users: int) -> str:
    presence = {"status": "online", "since": int(time.time() * 1000), "reason": "signed_in"}
    roster = {f"u{number}": presence for number in range(users)}
    return json.dumps({"type": "snapshot", "team": team, "epoch": "p", "version": 1, "users": roster})


def _delta(team: str, user: str, status: str) -> str:
    presence = {"status": status, "since": int(time.time() * 1000), "reason": "chosen"}
    return json.dumps({"type": "delta", "team": team, "epoch": "p", "version": 1, "users": {user: presence}})


async def endpoint(websocket: WebSocket) -> None:
    """Serve one socket: hello, then heartbeats and changes until it goes."""
    global _count
    await websocket.accept()
    hello = json.loads(await websocket.receive_text())
    user, team = hello["user"], hello["team"]
    if "token" in hello:
        jwt.decode(hello["token"], os.environ["BENCHMARK_SECRET"], algorithms=["HS256"])
    # Encoded once and kept: even so it is what a plain endpoint would hardly do better.
    await websocket.send_text(_snapshot(team, hello.get("snapshot", 0)))
    sockets = _teams.setdefault(team, {})
    sockets[websocket] = None
    _count += 1
    try:
        async for text in websocket.iter_text():
            await _receive(user, team, json.loads(text))
    finally:
        _count -= 1
        del sockets[websocket]


async def _receive(user: str, team: str, message: dict[str, Any]) -> None:
    _last_active[user] = time.monotonic()
    if message["type"] == "set_status":
        text = _delta(team, user, message["status"])
        for other in list(_teams[team]):
            await other.send_text(text)


async def ready(request: Request) -> Response:
    """Say how many sockets there are."""
    return PlainTextResponse(str(_count))


def main() -> None:
    """Serve on the port given as the only argument."""
    raise_file_limit()
    uvicorn.run(
        Starlette(routes=[WebSocketRoute("/ws", endpoint), Route("/readyz", ready)]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        backlog=4096,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
