"""JSON from the network: all that RFC 8259's grammar allows, and text that can be told back."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

import orjson

# What a double holds exactly, and no string of a thousand digits.
_LONGEST_INTEGER: Final = 19


def loads(data: bytes | str) -> Any:
    """Decode JSON.

    `orjson` refuses what the grammar allows and no value of its own can hold, a lone surrogate such as "\\ud83d" or a
    number such as 1e400; a client may well have cut an emoji in two in a field that nobody here reads.

    Raises:
        orjson.JSONDecodeError: it is not JSON, or nested deeper than can be followed.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        try:
            text = data if isinstance(data, str) else data.decode()
            return _LENIENT.decode(text)
        except (ValueError, RecursionError):
            raise exc from None


def printable(text: str) -> str:
    """What a peer has sent, fit to be encoded and shown: lone surrogates are written as escapes."""
    return text.encode(errors="backslashreplace").decode()


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"Expected JSON, got {constant}")


# Its other deviations are off by default: control characters in strings, a byte order mark.
_LENIENT: Final = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse)
