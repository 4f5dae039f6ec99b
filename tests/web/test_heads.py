"""Heads of requests, read by one expression, and held against the libraries that would read them otherwise."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol

from presence_server.web import handshake, heads
from presence_server.web.heads import Head
from tests.web.peer import HEAD

USUAL = (HEAD + "\r\n").encode()

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
PUT = b"PUT /v1/teams/acme/presence/maria?x=1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n"


@pytest.mark.parametrize("data", [USUAL, BROWSER, FIREFOX], ids=["plain", "Chromium", "Firefox"])
def test_what_browsers_send_is_usual(data: bytes) -> None:
    head = heads.read(data)
    assert head is not None
    assert (head.method, head.path, head.version) == (b"GET", b"/v1/ws", b"1.1")
    assert handshake.is_wanted(head)


def test_what_is_read_can_be_written() -> None:
    head = heads.read(BROWSER)
    assert head is not None
    assert heads.read(heads.write(head)) == head


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/v1/ws", b"/v1/ws"),
        (b"/v1/ws?x=/", b"/v1/ws"),
        (b"http://server.example/v1/ws?x", b"/v1/ws"),
        (b"HTTPS://server.example", b"/"),
        (b"/v1/x://y", b"/v1/x://y"),
        (b"*", b"*"),
    ],
)
def test_paths(target: bytes, path: bytes) -> None:
    assert Head(b"GET", target, b"1.1", []).path == path


NOT_READ = {
    "nothing": b"",
    "half a head": USUAL[:-2],
    "more than a head": USUAL + b"\x81\x80\x00\x00\x00\x00",
    "two": USUAL * 2,
    "another version": USUAL.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "a folded header": USUAL.replace(b"Upgrade: websocket", b"Upgrade:\r\n websocket"),
    "a space before the colon": USUAL.replace(b"Upgrade:", b"Upgrade :"),
    "a bare newline": USUAL.replace(b"Upgrade: websocket", b"Upgrade: websocket\nX: y"),
    "a NUL": USUAL.replace(b"Host: ", b"Host: \x00"),
    "a space in the target": USUAL.replace(b"/v1/ws", b"/v1/ ws"),
    "many headers": USUAL.replace(b"\r\n\r\n", b"".join(b"\r\nX-%d: y" % n for n in range(130)) + b"\r\n\r\n"),
    "a long head": USUAL.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 32_768 + b"\r\n\r\n"),
}


@pytest.mark.parametrize("data", NOT_READ.values(), ids=NOT_READ.keys())
def test_everything_else_is_left_to_the_library(data: bytes) -> None:
    assert heads.read(data) is None


UNWANTED = {
    "an old version of HTTP": USUAL.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "another method": USUAL.replace(b"GET", b"POST"),
    "no upgrade": USUAL.replace(b"Upgrade: websocket\r\n", b""),
    "no connection": USUAL.replace(b"Connection: Upgrade\r\n", b""),
    "another upgrade": USUAL.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "an upgrade of that name": USUAL.replace(b"Upgrade: websocket", b"Upgrade: websockets"),
}


@pytest.mark.parametrize("data", UNWANTED.values(), ids=UNWANTED.keys())
def test_what_asks_for_no_websocket(data: bytes) -> None:
    head = heads.read(data)
    assert head is not None
    assert not handshake.is_wanted(head)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x16\x03\x01\x02\x00\x01", "tls"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not_http"),
        (b"hello\r\n", "not_http"),
        (b"\x00", "not_http"),
        (b"get / HTTP/1.1\r\n", "not_http"),
        (b"GET / HTTP/1.1\n", "not_http"),
        (b"GET / HTTP/1.1\r\nX: y\nZ: a\r\n", "not_http"),
        (b"GET /" + b"x" * 32_768, "large_head"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 130, "large_head"),
        (b"G", None),
        (b"GET", None),
        (b"GET /", None),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost", None),
        (b"M-SEARCH * HTTP/1.1\r\n", None),
        (USUAL, None),
    ],
)
def test_what_can_never_be_a_head_is_known_early(data: bytes, kind: str | None) -> None:
    assert heads.trouble(data) == kind
    assert heads.trouble(bytearray(data)) == kind


# --- beside the libraries ---------------------------------------------------------------------------------------------


class Parsed:
    """A head as httptools reads it."""

    def __init__(self, data: bytes) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True

    @property
    def head(self) -> Head | None:
        if not self.complete:
            return None
        return Head(self.parser.get_method(), self.target, self.parser.get_http_version().encode(), self.headers)


EDITS = st.lists(st.tuples(st.integers(0, len(BROWSER)), st.integers(0, 8), st.binary(max_size=8)), max_size=3)


def edited(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, cut, put in edits:
        data = data[:at] + put + data[at + cut :]
    return data


@given(st.sampled_from([BROWSER, FIREFOX, USUAL, PUT]), EDITS)
@example(PUT, [(4, 0, b"\x80")])
def test_what_is_read_is_what_httptools_reads(base: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    data = edited(base, edits)
    head, parsed = heads.read(data), Parsed(data).head
    if head is not None and parsed is not None:
        assert head == parsed


@given(st.sampled_from([BROWSER, FIREFOX, USUAL]), EDITS)
def test_a_handshake_is_taken_exactly_when_the_libraries_would(
    base: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    """Nothing that they refuse gets in, and nothing that they take is refused for its form."""
    data = edited(base, edits)
    parsed = Parsed(data).head
    ours = heads.read(data) or parsed
    taken = ours is not None and handshake.is_wanted(ours) and handshake.objection(ours) is None
    protocol = ServerProtocol()
    protocol.receive_data(data)
    found = protocol.events_received()
    ordinary = (
        parsed is not None
        and bool(found)
        and isinstance(found[0], Request)
        and protocol.accept(found[0]).status_code == 101
        and parsed.path == handshake.PATH.encode()
    )
    if ordinary and not (len(parsed.values(b"sec-websocket-version")) > 1 if parsed else False):
        assert taken
    if taken and parsed is not None and heads.read(data) is not None:
        assert ordinary or len(data) > 8_192 or b"://" in data
