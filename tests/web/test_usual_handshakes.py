"""Handshakes in the usual form are read by one expression; whatever else begins a connection goes to the libraries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.server import ServerProtocol

from presence_server.web import handshake
from tests.web.peer import HEAD

USUAL = (HEAD + "\r\n").encode()
KEY = b"AAAAAAAAAAAAAAAAAAAAAA=="

# As Chromium sends it.
BROWSER = b"""GET /v1/ws HTTP/1.1\r
Host: localhost:8080\r
Connection: Upgrade\r
Pragma: no-cache\r
Cache-Control: no-cache\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r
Upgrade: websocket\r
Origin: http://localhost:8080\r
Sec-WebSocket-Version: 13\r
Accept-Encoding: gzip, deflate, br, zstd\r
Accept-Language: es-ES,es;q=0.9\r
Cookie: name=Jos\xc3\xa9\r
Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r
\r
"""
FIREFOX = BROWSER.replace(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade")


@pytest.mark.parametrize("data", [USUAL, BROWSER, FIREFOX], ids=["plain", "Chromium", "Firefox"])
def test_what_browsers_send_is_usual(data: bytes) -> None:
    headers = handshake.read(data)
    assert headers is not None
    assert headers[b"upgrade"] == b"websocket"


def test_a_query_is_let_pass() -> None:
    """Balancers route by it."""
    assert handshake.read(USUAL.replace(b"/v1/ws", b"/v1/ws?route=7")) is not None


def without(name: bytes) -> bytes:
    lines = USUAL.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(name))


UNUSUAL = {
    "nothing": b"",
    "half a head": USUAL[:-2],
    "more than a head": USUAL + b"\x81\x80\x00\x00\x00\x00",
    "two": USUAL * 2,
    "another method": USUAL.replace(b"GET", b"POST"),
    "another path": USUAL.replace(b"/v1/ws", b"/v1/users"),
    "a longer path": USUAL.replace(b"/v1/ws", b"/v1/wsx"),
    "an old version of HTTP": USUAL.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "an absolute URL": USUAL.replace(b"GET /", b"GET http://server.example/"),
    "a header twice": USUAL.replace(b"Upgrade: websocket", b"Upgrade: websocket\r\nUPGRADE: websocket"),
    "two keys": USUAL.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"),
    "a folded header": USUAL.replace(b"Upgrade: websocket", b"Upgrade:\r\n websocket"),
    "a space before the colon": USUAL.replace(b"Upgrade:", b"Upgrade :"),
    "a bare newline": USUAL.replace(b"Upgrade: websocket", b"Upgrade: websocket\nX: y"),
    "a NUL": USUAL.replace(b"Host: ", b"Host: \x00"),
    "no host": without(b"host"),
    "no key": without(b"sec-websocket-key"),
    "no upgrade": without(b"upgrade"),
    "no connection": without(b"connection"),
    "no version": without(b"sec-websocket-version"),
    "another upgrade": USUAL.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "a short key": USUAL.replace(KEY, b"AAAA"),
    "a key of 17 bytes": USUAL.replace(KEY, b"AAAAAAAAAAAAAAAAAAAAAAA="),
    "a key that no 16 bytes have": USUAL.replace(KEY, b"AAAAAAAAAAAAAAAAAAAAAB=="),
    "a length": USUAL.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"),
    "chunks": USUAL.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "an expectation": USUAL.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
    "many headers": USUAL.replace(b"\r\n\r\n", b"".join(b"\r\nX-%d: y" % n for n in range(60)) + b"\r\n\r\n"),
    "a long head": USUAL.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 8_192 + b"\r\n\r\n"),
}


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_everything_else_is_not(data: bytes) -> None:
    assert handshake.read(data) is None


@given(st.lists(st.tuples(st.integers(0, len(BROWSER)), st.integers(0, 8), st.binary(max_size=8)), max_size=3))
def test_nothing_is_usual_that_the_library_would_refuse(edits: list[tuple[int, int, bytes]]) -> None:
    data = BROWSER
    for at, cut, put in edits:
        data = data[:at] + put + data[at + cut :]
    headers = handshake.read(data)
    if headers is not None:
        protocol = ServerProtocol()
        protocol.receive_data(data)
        (found,) = protocol.events_received()
        assert protocol.accept(found).status_code == 101  # type: ignore[arg-type]
        assert found.headers["Sec-WebSocket-Key"].encode() == headers[b"sec-websocket-key"]  # type: ignore[union-attr]
