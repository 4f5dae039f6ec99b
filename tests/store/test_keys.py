"""Names of keys: what belongs together shares a slot, what does not cannot be taken for each other."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from presence_server import parsing
from presence_server.core.ids import PATTERN, is_id
from presence_server.store.keys import Keys

# Every character that an id may have.
WHOLE_ALPHABET = f"_{string.ascii_letters}{string.digits}.:@+-"

ODD_IDS = ["due", "control", "feed", "a:feed", "__proto__", WHOLE_ALPHABET, "9" * 128]
# Some end in what a name already contains.
ODD_PREFIXES = ["p", ":", "a:b", "feed", ":feed", "x:control", "[1]*?", "~|"]

ID = st.one_of(st.from_regex(PATTERN, fullmatch=True), st.sampled_from(ODD_IDS))
PREFIX = st.one_of(
    st.text(st.sampled_from([c for c in string.printable if "!" <= c <= "~" and c not in "{}"]), min_size=1),
    st.sampled_from(ODD_PREFIXES),
)


def slot(key: str) -> int:
    return key_slot(key.encode())


def of_team(keys: Keys, team: str) -> list[str]:
    """Every key of a team, as the scripts name them."""
    names = ["settings", "changes", f"user:{WHOLE_ALPHABET}", f"out:{WHOLE_ALPHABET}:{WHOLE_ALPHABET}", "held:w1"]
    own = [keys.mark(team), keys.active(team), keys.ends(team), keys.feed(team)]
    return own + [f"{keys.team(team)}:{name}" for name in names]


def of_index(keys: Keys) -> list[str]:
    """Every key of the index of due teams, as the scripts name them."""
    names = ["teams", "claimed", "workers", "lifted", "dead", "of:w1", "numbers", "burials", "clock", "restoring"]
    return [f"{keys.due}:{name}" for name in names]


def test_the_examples_are_allowed() -> None:
    assert all(is_id(each) for each in ODD_IDS)
    assert [parsing.key_prefix(each) for each in ODD_PREFIXES] == ODD_PREFIXES


def test_names_are_those_an_operator_sees() -> None:
    keys = Keys("presence", 3)
    assert keys.due == "presence:{due}"
    assert keys.control == "presence:control:3"
    assert keys.team("acme") == "presence:{acme}"
    assert keys.mark("acme") == "presence:{acme}:mark"
    assert keys.active("acme") == "presence:{acme}:active"
    assert keys.ends("acme") == "presence:{acme}:ends"
    assert keys.feed("acme") == "presence:{acme}:feed:3"
    assert keys.signed_out("maria", "s1") == "presence:{maria}:signed-out:s1"


@pytest.mark.parametrize("team", ODD_IDS)
def test_all_keys_of_a_team_share_the_slot_of_its_name(team: str) -> None:
    for prefix in ODD_PREFIXES:
        keys = Keys(prefix, 0)
        assert {slot(key) for key in of_team(keys, team)} == {slot(team)}
        assert slot(keys.signed_out(team, "s1")) == slot(team)


@given(prefix=PREFIX, team=ID)
def test_under_any_prefix_so_does_any_team(prefix: str, team: str) -> None:
    assert {slot(key) for key in of_team(Keys(prefix, 0), team)} == {slot(team)}


@given(prefix=PREFIX, team=ID)
def test_a_team_is_known_again_by_its_channel(prefix: str, team: str) -> None:
    keys = Keys(prefix, 0)
    assert keys.team_of_feed(keys.feed(team)) == team


def test_two_databases_of_one_redis_hear_nothing_of_each_other() -> None:
    """Channels belong to the server, and not to a database."""
    one, other = Keys("presence", 0), Keys("presence", 1)
    assert one.feed("acme") != other.feed("acme")
    assert one.control != other.control
    assert one.team("acme") == other.team("acme")


@given(prefix=PREFIX, team=ID, user=ID, session=ID)
def test_names_of_different_kinds_never_meet(prefix: str, team: str, user: str, session: str) -> None:
    """Not even for a team, a user or a session named after a part of the server."""
    keys = Keys(prefix, 0)
    names = [*of_team(keys, team), *of_index(keys), keys.control, keys.signed_out(user, session)]
    assert len(set(names)) == len(names)


@given(one=st.tuples(ID, ID), other=st.tuples(ID, ID))
def test_different_sessions_have_different_keys(one: tuple[str, str], other: tuple[str, str]) -> None:
    keys = Keys("presence", 0)
    assert (keys.signed_out(*one) == keys.signed_out(*other)) == (one == other)
