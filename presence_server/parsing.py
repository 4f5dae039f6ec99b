"""Text of a setting → its value. Every function raises ValueError with a text "Expected X, got Y"."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from presence_server import address

# A century: longer ones would only overflow somewhere later.
_LONGEST_S: Final = 3_155_760_000

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def text(value: str) -> str:
    """Anything but nothing."""
    if not value.strip():
        raise ValueError(f"Expected a text, got {value!r}")
    return value.strip()


def port(value: str) -> int:
    """A TCP port; 0 stands for any free one."""
    if value.startswith("tcp://"):
        raise ValueError(
            f"Expected a port from 0 to 65535, got {value!r}. Kubernetes sets this for a Service named 'presence': "
            "set `enableServiceLinks: false` on the pod or rename the Service"
        )
    number = _integer(value)
    if number is None or not 0 <= number <= 65535:
        raise ValueError(f"Expected a port from 0 to 65535, got {value!r}")
    return number


def own_port(value: str) -> int:
    """A TCP port; not any free one, since nobody would know which."""
    number = port(value)
    if number == 0:
        raise ValueError("Expected a port from 1 to 65535, got '0'")
    return number


def count(value: str) -> int:
    """A whole number from 1 on."""
    number = _integer(value)
    if number is None or not 1 <= number <= 1_000_000:
        raise ValueError(f"Expected a whole number from 1 to 1000000, got {value!r}")
    return number


def workers(value: str) -> int:
    """A number of processes: one for each core of a very large machine, at most."""
    number = _integer(value)
    if number is None or not 1 <= number <= 256:
        raise ValueError(f"Expected a whole number from 1 to 256, got {value!r}")
    return number


def seconds(*, zero: bool = False) -> Callable[[str], float]:
    """A parser of durations in seconds, fractions allowed; 0 only if `zero`."""
    expected = "0 or a number of seconds" if zero else "a number of seconds above 0"

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        # Written so that NaN fails.
        if not (0 <= number <= _LONGEST_S) or (number == 0 and not zero):
            raise ValueError(f"Expected {expected}, got {value!r}")
        return number

    return parse


def milliseconds(*, zero: bool = False) -> Callable[[str], int]:
    """As `seconds`, but the value is in whole milliseconds; what is above 0 stays so."""
    parse_seconds = seconds(zero=zero)

    def parse(value: str) -> int:
        number = parse_seconds(value)
        return max(1, round(number * 1000)) if number else 0

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """A parser of one of `choices`, in whatever case."""
    quoted = ", ".join(repr(choice) for choice in choices[:-1]) + f" or {choices[-1]!r}"

    def parse(value: str) -> str:
        choice = value.strip().lower()
        if choice not in choices:
            raise ValueError(f"Expected {quoted}, got {value!r}")
        return choice

    return parse


def folder(value: str) -> Path:
    """A path, made absolute; `~` stands for the home directory."""
    if "\0" in value or not value.strip():
        raise ValueError(f"Expected a folder, got {value!r}")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"Expected a folder, got {value!r}, whose home directory is not known") from None


def secrets(value: str) -> str:
    """One secret, or two separated by a comma. Errors show nothing of them."""
    parts = value.split(",")
    if len(parts) > 2:
        raise ValueError(f"Expected one secret, or two separated by a comma, got {len(parts) - 1} commas")
    if len(parts) == 2 and any(not part or part != part.strip() for part in parts):
        raise ValueError("Expected two secrets separated by a comma alone, got an empty one or white space around one")
    return value


def key_prefix(value: str) -> str:
    """The first part of Redis keys. Braces would move the hash tag of a cluster, white space invites mistakes."""
    if not re.fullmatch(r"[!-z|~]{1,64}", value):
        raise ValueError(f"Expected 1 to 64 ASCII characters without braces and white space, got {value!r}")
    return value


def redis_url(value: str) -> str:
    """The address of Redis, in a form that `address.parse` reads."""
    address.parse(value)
    return value.strip()


def http_url(value: str) -> str:
    """An http or https address without user and fragment."""
    parts = _split(value)
    if parts is None or parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.fragment:
        raise ValueError(f"Expected an https:// address, got {shown_url(value)!r}")
    if "@" in parts.netloc:
        raise ValueError(f"Expected an address without user and password, got {shown_url(value)!r}")
    return value.strip()


def shown_url(url: str) -> str:
    """A URL as logs and reports may show it: without user, password and query, which may hold secrets."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        return url if "@" not in url and "?" not in url else "something that may hold a password"
    address, _, query = rest.partition("?")
    # Up to the last, since a password may hold one, or a slash, where somebody forgot to encode it.
    user, at, host = address.rpartition("@")
    return f"{scheme}://{'***@' if user or at else ''}{host}{'?***' if query else ''}"


def is_clear_text(url: str) -> bool:
    """Whether an address that `http_url` let pass crosses a network unprotected."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def origins(value: str) -> tuple[str, ...]:
    """Comma-separated origins, as browsers write them (RFC 6454 section 6.1): lower case, no default port.

    `https://*.example.com` stands for any host below example.com, `*` for any origin.
    """
    return tuple(_origin(item) for item in _items(value))


def proxies(value: str) -> tuple[str, ...]:
    """Comma-separated addresses and networks, or `*`."""
    items = _items(value)
    for item in items:
        if item == "*":
            continue
        try:
            ipaddress.ip_network(item)
        except ValueError:
            raise ValueError(
                f"Expected IP addresses or networks such as 10.0.0.0/8, or '*', got {item!r}. "
                "Host names are not looked up"
            ) from None
    # The proxy middleware knows "any" only when it stands alone.
    return ("*",) if "*" in items else items


def _origin(item: str) -> str:
    if item == "*":
        return item
    parts = _split(item)
    if parts is None or not parts.hostname or "@" in parts.netloc or item.partition("://")[2] != parts.netloc:
        raise ValueError(
            f"Expected origins such as https://app.example.com (no path, no slash at the end), got {shown_url(item)!r}"
        )
    _check_fits(item, parts.hostname)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    explicit = parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}:{parts.port}" if explicit else f"{parts.scheme}://{host}"


def _check_fits(item: str, host: str) -> None:
    """Refuse what no browser could ever send."""
    below = host.removeprefix("*.")
    if "*" in below:
        raise ValueError(f"Expected '*' alone, or as the whole first label as in https://*.example.com, got {item!r}")
    if not below.isascii():
        raise ValueError(f"Expected a host as browsers send it, in ASCII (xn--…), got {item!r}")
    if ":" not in below and (below.startswith(".") or not re.fullmatch(r"[a-z0-9._-]+", below)):
        raise ValueError(f"Expected a host of letters, digits, dots and dashes, got {item!r}")


def _items(value: str) -> tuple[str, ...]:
    return tuple(item for item in (part.strip() for part in value.split(",")) if item)


def _integer(value: str) -> int | None:
    # int() takes "1_000" and digits of other scripts, too.
    return int(value) if re.fullmatch(r"\s*\d{1,9}\s*", value, re.ASCII) else None


def _split(value: str) -> SplitResult | None:
    """The parts of a URL, None for what is none."""
    if "://" not in value or re.search(r"\s", value.strip()):
        return None
    try:
        parts = urlsplit(value.strip())
        # Looked at, because it is only checked when asked for.
        _ = parts.port
    except ValueError:
        return None
    return parts
