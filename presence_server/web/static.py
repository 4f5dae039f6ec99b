"""The browser client's files."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

_HEADERS = {
    # Asked for again each time, and answered with 304 while it is the same: no page runs an old client for days.
    "Cache-Control": "no-cache",
    # For whoever opens one as a page of its own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # Pages of other origins import it, where PRESENCE_ALLOWED_ORIGINS lets them.
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


class Assets(StaticFiles):
    """Static files with the headers that keep a browser from taking them for anything else."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_HEADERS)
        return response
