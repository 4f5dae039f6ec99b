"""JSON in requests and answers."""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from presence_server import errors
from presence_server.core.decoding import loads
from presence_server.core.status import json_type

NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


async def read_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """Read the JSON object that a request carries.

    Args:
        request: the request.
        max_bytes: how long its body may be, bytes.

    Raises:
        errors.UnsupportedMediaType: it is not declared as `application/json`.
        errors.TooLarge: it is longer than that.
        errors.BadMessage: it is not JSON, or not an object.
    """
    # A foreign page can send this type only after asking by CORS, which answers no.
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise errors.UnsupportedMediaType(f"Expected content of type application/json, got '{media_type[:64]}'")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise errors.TooLarge(f"Expected a body of up to {max_bytes} bytes, got more")
    try:
        content = loads(bytes(body))
    except ValueError as exc:
        raise errors.BadMessage(f"Expected a body of JSON, got something else: {exc}") from None
    if type(content) is not dict:
        raise errors.BadMessage(f"Expected a JSON object, got {json_type(content)}")
    return content


def answer(content: object) -> Response:
    """Answer with JSON, which nobody in between may keep."""
    return Response(orjson.dumps(content), headers=NO_STORE, media_type="application/json")
