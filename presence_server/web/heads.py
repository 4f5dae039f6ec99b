"""The head of an HTTP request (RFC 9112, sections 3 and 5): read once, for whoever decides about it.

Heads of the usual form, which nearly all have, are read by one expression: 8 µs instead of 150 for an HTTP server's
parser and then `websockets`, which is a third of what a connect costs. What it cannot read is left to `httptools`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_LINES: Final = 128
END: Final = b"\r\n\r\n"

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_USUAL: Final = re.compile(rb"(%b) ([!-~]+) HTTP/(1\.[01])\r\n((?:%b:[\t -~\x80-\xff]*\r\n)*)\r\n" % (_TOKEN, _TOKEN))
# What begins like a request: a method, and then a space.
_BEGINNING: Final = re.compile(rb"(?:\r\n)*[A-Z][A-Z-]{0,20}(?: |$)", re.DOTALL)
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")


class Head(NamedTuple):
    """A request without its body.

    Attributes:
        method: in upper case, as it came.
        target: the path with its query, or a whole URL.
        version: `1.0` or `1.1`.
        headers: in their order, names in lower case, values without white space around them.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: list[tuple[bytes, bytes]]

    def values(self, name: bytes) -> list[bytes]:
        """The values of all headers of a name."""
        return [value for each, value in self.headers if each == name]

    def elements(self, name: bytes) -> list[bytes]:
        """The elements of a list, in lower case, however many lines it is spread over (RFC 9110, section 5.6.1)."""
        values = self.values(name)
        return [part.strip(b" \t").lower() for value in values for part in value.split(b",")] if values else []

    @property
    def path(self) -> bytes:
        """The path, not decoded; without the host that a proxy may have put before it (RFC 9112, section 3.2.2)."""
        target = self.target.partition(b"?")[0]
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            return target
        return b"/" + rest.partition(b"/")[2]


def read(data: bytes) -> Head | None:
    """Read a whole head, up to and with its empty line; None for one that is too long, or not of the usual form."""
    if len(data) > MAX_HEAD_BYTES or (found := _USUAL.fullmatch(data)) is None:
        return None
    method, target, version, fields = found.groups()
    headers = []
    for line in fields.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(b" \t")))
    return Head(method, target, version, headers) if len(headers) <= MAX_LINES else None


def write(head: Head) -> bytes:
    """Write a head as it is read."""
    lines = [b"%b %b HTTP/%b" % (head.method, head.target, head.version)]
    lines += [b"%b: %b" % header for header in head.headers]
    return b"\r\n".join(lines) + END


def trouble(data: bytes | bytearray) -> str | None:
    """Tell what a head that may not be complete can never become: the kind of stranger, or None if it may be fine."""
    if data.startswith(b"\x16\x03"):
        return "tls"
    if data.startswith(b"PRI * HTTP/2"):
        return "http2"
    if _BEGINNING.match(data) is None or _BARE_LINE_FEED.search(data):
        return "not_http"
    if len(data) > MAX_HEAD_BYTES or data.count(b"\n") > MAX_LINES + 2:
        return "large_head"
    return None
