"""What the server is measured against: a WebSocket endpoint as one writes it with Starlette, without Redis.

It keeps the sockets of each team in a dictionary, and sends a change to each of them in turn. For a fair comparison it
speaks as much of the server's language as the load generator looks at, and runs on the same server with the same
settings: uvicorn, `websockets-sansio`, uvloop, httptools, no deflate, pings every 20 seconds.
"""

from __future__ import annotations

import json
import sys
import time
from functools import cache

import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

_teams: dict[str, dict[WebSocket, None]] = {}
_last_active: dict[str, float] = {}


def _message(kind: str, team: str, users: list[str], status: str, reason: str) -> str:
    presence = {"status": status, "since": int(time.time() * 1000), "reason": reason}
    return json.dumps({"type": kind, "team": team, "epoch": "p", "version": 1, "users": dict.fromkeys(users, presence)})


@cache
def _snapshot(team: str, users: int) -> str:
    # Encoded once and kept: even so it is what a plain endpoint would hardly do better.
    return _message("snapshot", team, [f"u{number}" for number in range(users)], "online", "signed_in")


async def endpoint(websocket: WebSocket) -> None:
    """Serve one socket: hello, then heartbeats and changes until it goes."""
    await websocket.accept()
    hello = json.loads(await websocket.receive_text())
    user, team = hello["user"], hello["team"]
    if "token" in hello:
        jwt.decode(hello["token"], sys.argv[2], algorithms=["HS256"])
    await websocket.send_text(_snapshot(team, hello.get("snapshot", 0)))
    sockets = _teams.setdefault(team, {})
    sockets[websocket] = None
    try:
        async for text in websocket.iter_text():
            message = json.loads(text)
            _last_active[user] = time.monotonic()
            if message["type"] == "set_status":
                delta = _message("delta", team, [user], message["status"], "chosen")
                for other in list(sockets):
                    await other.send_text(delta)
    finally:
        del sockets[websocket]


async def ready(request: Request) -> Response:
    """Say how many sockets there are."""
    return PlainTextResponse(str(sum(map(len, _teams.values()))))


def main() -> None:
    """Serve on the port that is the first argument; the second is the tokens' secret."""
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
