"""Fetching one document over HTTP, within one deadline for all of it, whatever the other side does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from presence_server.parsing import shown_url

FETCH_TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 1024 * 1024

_Result = TypeVar("_Result")


async def in_thread(work: Callable[[], _Result]) -> _Result:
    """Run blocking work, in a thread that does not keep the process from ending."""
    done: concurrent.futures.Future[_Result] = concurrent.futures.Future()

    def run() -> None:
        # From here on whoever waits can give up, and the work ends by itself.
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(work())
        except Exception as exc:
            done.set_exception(exc)

    threading.Thread(target=run, daemon=True, name="presence-jwks").start()
    return await asyncio.wrap_future(done)


def fetch(url: str) -> bytes:
    """Return what is at an `http` or `https` URL. Blocks; follows no redirect, which could lead anywhere.

    Raises:
        OSError, http.client.HTTPException: it cannot be read within `FETCH_TIMEOUT_S`, or the status is not 200.
        ValueError: it is neither kind of URL, or there are more than `MAX_BYTES`.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"Expected an http or https URL, got '{shown_url(url)}'")
    lines = _Lines()
    # Timeouts of sockets are ones of silence: a trickle, of headers even, would keep the thread for good.
    deadline = threading.Timer(FETCH_TIMEOUT_S, lines.cut)
    deadline.daemon = True
    deadline.start()
    data = b""
    try:
        data = _read(url, lines)
    except (OSError, ValueError, http.client.HTTPException):
        if not lines.were_cut:
            raise
    finally:
        deadline.cancel()
    # Cut in the middle of its headers, an answer looks like one without a body.
    if lines.were_cut:
        raise TimeoutError(f"Expected the whole answer within {FETCH_TIMEOUT_S:g} s, got a part of it")
    return data


def _read(url: str, lines: _Lines) -> bytes:
    opener = urllib.request.build_opener(_NoRedirect(), *lines.handlers())
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    try:
        response = opener.open(request, timeout=FETCH_TIMEOUT_S)
    except urllib.error.HTTPError as exc:
        exc.close()
        raise OSError(f"Expected status 200, got {exc.code}") from None
    data = bytearray()
    with response:
        while piece := response.read1(MAX_BYTES):
            data += piece
            if len(data) > MAX_BYTES:
                raise ValueError(f"Expected at most {MAX_BYTES} bytes, got more")
            if lines.were_cut:
                raise TimeoutError
    return bytes(data)


class _Lines:
    """The connections of one fetch, to be cut from another thread."""

    def __init__(self) -> None:
        self._made: list[http.client.HTTPConnection] = []
        self.were_cut = False

    def handlers(self) -> Iterable[urllib.request.BaseHandler]:
        lines = self

        class Http(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
                return self.do_open(lines.keeping(http.client.HTTPConnection), request)

        class Https(urllib.request.HTTPSHandler):
            def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
                return self.do_open(lines.keeping(http.client.HTTPSConnection), request)

        return Http(), Https()

    def keeping(self, make: Callable[..., http.client.HTTPConnection]) -> Any:
        def made(host: str, **options: Any) -> http.client.HTTPConnection:
            self._made.append(make(host, **options))
            return self._made[-1]

        return made

    def cut(self) -> None:
        self.were_cut = True
        for connection in self._made:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None
