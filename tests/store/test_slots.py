"""Partitions: each has an index that lies among its own teams, and every worker says so alike."""

from __future__ import annotations

import pytest

from presence_server.store.cluster.cluster import PARTITIONS
from presence_server.store.keys import Keys
from presence_server.store.slots import SLOTS, WHOLE, number_of, partitions, slot_of


@pytest.mark.parametrize("count", [3, PARTITIONS])
def test_an_index_lies_in_its_own_range(count: int) -> None:
    for partition in partitions(count):
        assert number_of(partition.tag, count) == partition.number
        assert slot_of(Keys("presence", 0, partition).due) * count // SLOTS == partition.number


def test_a_partition_is_as_many_slots_in_a_row_as_any_other() -> None:
    """What operations.md says of boundaries between shards."""
    width = SLOTS // PARTITIONS
    assert width * PARTITIONS == SLOTS
    for team in map(str, range(1_000)):
        assert number_of(team, PARTITIONS) == slot_of(team) // width


def test_a_single_redis_has_one() -> None:
    assert WHOLE.tag == "due"
    assert {number_of(str(team), 1) for team in range(100)} == {0}


def test_tags_are_what_they_have_always_been() -> None:
    """Workers of different versions must find the same index."""
    assert [partition.tag for partition in partitions(PARTITIONS)][:3] == ["due.0.20", "due.1.101", "due.2.71"]


def test_sign_outs_lie_with_the_index_of_a_partition() -> None:
    keys = Keys("presence", 0, partitions(PARTITIONS)[17])
    assert keys.signed_out("maria", "s1") == "presence:{due.17.128}:signed-out:maria/s1"
    assert keys.signed_out("a", "b:c") != keys.signed_out("a:b", "c")
