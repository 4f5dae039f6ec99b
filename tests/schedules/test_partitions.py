"""Each of several partitions is the model by itself: schedules of one of them, and what one means to the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from presence_server.store.slots import number_of
from tests.schedules import test_ends, test_people, test_writes
from tests.schedules.conftest import NewWorld
from tests.schedules.world import LEASE_S, World

COUNT = 3


@pytest.mark.parametrize(
    "schedule",
    [
        test_ends.test_doubt,
        test_ends.test_lift_once,
        test_people.test_ask_out_after_long_absence,
        test_writes.test_record_first,
        test_writes.test_until,
    ],
)
def test_one_by_itself(new_world: NewWorld, schedule: Callable[[World], None]) -> None:
    schedule(new_world(partitions=COUNT))


def test_an_index_that_is_lost_takes_nobody_along(new_world: NewWorld) -> None:
    """Users in two teams: in the one whose index is new they are brought back, in the other nothing happens at all."""
    teams = ("t", "t5")
    assert len({number_of(team, COUNT) for team in teams}) == len(teams)
    world = new_world(partitions=COUNT, teams=teams)
    world.open("a", "u", "s")
    world.open("b", "v", "s")
    world.tick()
    other = world.client.dump(world.keys.mark("t5"))
    world.restore({}, of="due", silent=True)
    world.restore({}, of="t", silent=True)
    world.tick(LEASE_S)
    assert {world.shown(user, team) for user in "uv" for team in teams} == {"online"}
    assert world.client.dump(world.keys.mark("t5")) == other
    world.crash("b")
    world.tick(2 * LEASE_S)
    assert {team: world.shown("v", team) for team in teams} == dict.fromkeys(teams, "offline")
    assert {team: world.shown("u", team) for team in teams} == dict.fromkeys(teams, "online")
