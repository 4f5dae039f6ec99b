"""The demo answers its own host alone.

It gives tokens to whoever asks. A page anywhere on the web can have its own name resolve to this machine (DNS
rebinding), and is then of the same origin. What it cannot change is the `Host` that the browser sends.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_MISDIRECTED: Final = 421
# RFC 9110 section 7.2, of RFC 3986's hosts those that are an address or a name of the DNS.
_HOST: Final = re.compile(r"\[([0-9a-f:.]+)\](?::\d*)?|([a-z0-9._-]+)(?::\d*)?", re.ASCII | re.IGNORECASE)


class OwnHost:
    """Middleware that refuses requests for other hosts with 421 (RFC 9110 section 15.5.20).

    An address is nobody's name, so it cannot be made to point here; `localhost` is this machine by definition.

    Args:
        app: what is protected.
        names: other host names that are this server's.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_own(Headers(scope=scope).getlist("host")):
            await self._app(scope, receive, send)
            return
        text = "Expected the demo's own host, got another. Open it by the address it printed, or name it in --host\n"
        await PlainTextResponse(text, _MISDIRECTED)(scope, receive, send)

    def _is_own(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        name = _name(hosts[0])
        return name in self._names or _is_address(name)


def _name(host: str) -> str:
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower().rstrip(".") if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
