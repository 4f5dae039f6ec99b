"""Ids: what section 1 allows, and nothing else."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server.core.ids import PATTERN, is_id

FIRST = set(string.ascii_letters + string.digits + "_")
REST = FIRST | set(".:@+-")


def allowed(text: str) -> bool:
    """Section 1, letter by letter."""
    return 1 <= len(text) <= 128 and text[0] in FIRST and set(text) <= REST


def test_the_pattern_is_the_contracts() -> None:
    assert PATTERN == "[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,127}"


@given(st.one_of(st.text(), st.from_regex(PATTERN), st.text(alphabet=sorted(REST), max_size=130)))
def test_exactly_what_is_allowed_is_an_id(text: str) -> None:
    assert is_id(text) == allowed(text)


@pytest.mark.parametrize(
    "text", ["a", "_", "7", "__proto__", "constructor", "maria@acme.example", "a:b", "+".join("abc"), "x" * 128]
)
def test_ids(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".a", ":a", "@a", "+a", "-a", "~a", "a b", "a\n", "\na", "a/b", "a{b", "a}", "a*", "a\0", "x" * 129),
        # Letters only of Unicode: the first two lower-case to ASCII ones.
        *("\u212a", "\u017f", "é", "１", "maria\u200b"),
    ],
)
def test_strings_that_are_none(text: str) -> None:
    assert not is_id(text)


@pytest.mark.parametrize("value", [None, 1, True, 1.5, ["a"], {"a": 1}, b"a"])
def test_nothing_but_a_string_is_an_id(value: Any) -> None:
    assert not is_id(value)


def test_no_allowed_character_needs_escaping_in_json_or_a_hash_tag() -> None:
    """Encoders and key names rely on it."""
    assert not REST & set('"\\{}/ \t\r\n')
    assert all(re.match(r"[ -~]", character) for character in REST)
