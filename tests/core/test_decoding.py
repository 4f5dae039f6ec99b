"""JSON as RFC 8259's grammar has it."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server.core.decoding import loads, printable
from tests.core.wire import JSON


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"draft":"\ud83d","a":1}', {"draft": "\ud83d", "a": 1}),
        (r'["\udc00\ud800"]', ["\udc00\ud800"]),
        (r'"\ud83d\ude00"', "😀"),
        ("[1e400,-1e400]", [math.inf, -math.inf]),
        ("1" * 400, math.inf),
        ("-" + "9" * 5000, -math.inf),
        ("18446744073709551615", 2**64 - 1),
        (' {"a" : [1e400]}\n', {"a": [math.inf]}),
    ],
)
def test_what_the_grammar_allows_is_taken(text: str, value: Any) -> None:
    assert loads(text) == loads(text.encode()) == value


NOT_JSON = [
    *("", "NaN", "[Infinity]", "-Infinity", "{'a':1}", "[1,]", "01", "1e", '"\t"', '"\\x"', "\ufeff1", "[1]]", "tru"),
    *('{"a":1e400', r'["\ud83d"', r'{"a":"\ud83d",}', r'"\ud83"', "1e400 2", "\x0b1", "[" * 100_000),
]


@pytest.mark.parametrize("text", NOT_JSON, ids=lambda text: text[:12])
def test_what_it_does_not_allow_is_refused(text: str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads(text)


@pytest.mark.parametrize("data", [b'"\xff"', b'"\xed\xa0\xbd"', b'["\xed\xa0\xbd", 1e400]', '"a"'.encode("utf-16")])
def test_only_utf_8_is_text(data: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads(data)


@given(JSON)
def test_what_one_can_say_is_understood(value: Any) -> None:
    text = json.dumps(value)
    if "Infinity" not in text:
        assert loads(text) == orjson.loads(text)


@given(st.text(st.characters(), max_size=20))
def test_anything_can_be_told_back(text: str) -> None:
    assert orjson.loads(orjson.dumps(printable(text))) == printable(text)


def test_what_is_well_formed_is_told_as_it_is() -> None:
    assert printable("José 😀") == "José 😀"
    assert printable("a\ud83d") == r"a\ud83d"
