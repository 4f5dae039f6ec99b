"""Schedules of a write: on record first, (worker, until, number before, number), done exactly once and in order."""

from __future__ import annotations

from tests.schedules.conftest import NewWorld
from tests.schedules.world import LEASE_S, World

# --- on record in the index ------------------------------------------------------------------------------------------


def test_record_first(world: World) -> None:
    """A worker is on record for a team, answered by the index, before it writes to the team."""
    world.nodes["b"].wire.doom("cut", "enlist")
    world.open("b", "u", "s")
    world.run("b")
    assert world.shown("u") == "offline"
    world.tick()
    assert world.shown("u") == "online"
    # Right after its first write to the team: the burial must find it there.
    world.crash("b")
    world.tick(LEASE_S + 2)
    assert world.shown("u") == "offline"
    world.settle()


def test_record_alive(world: World) -> None:
    """The index puts nobody on record who is not alive in it."""
    world.nodes["b"].wire.doom("straggle", "enlist")
    world.open("b", "u", "s")
    world.run("b")
    world.crash("b")
    world.tick(8)
    world.nodes["b"].wire.arrive_late()
    world.settle()


def test_record_chain(new_world: NewWorld) -> None:
    """The index refuses what does not follow on the last number of a worker, which then tells its whole record anew."""
    world = new_world(teams=("t", "r"))
    before = world.remember()
    world.open("b", "u", "s", teams=["t"])
    world.nodes["b"].wire.doom("hold", "hold")
    world.run("b")
    # The record of "t" is lost, and nobody's connection breaks; that of "r" follows.
    world.restore(before, silent=True)
    world.open("b", "v", "s", teams=["r"])
    world.nodes["b"].wire.release()
    world.run("b")
    assert (world.shown("u", "t"), world.shown("v", "r")) == ("online", "online")
    world.crash("b")
    world.tick(LEASE_S + 2)
    assert (world.shown("u", "t"), world.shown("v", "r")) == ("offline", "offline")
    world.settle()


# --- a write to a team: (worker, until, number before, number) -------------------------------------------------------


def test_until(world: World) -> None:
    """A write says until when its worker's lease lasts; past that, by the team's own clock, it is refused."""
    world.nodes["b"].wire.doom("straggle", "hold")
    world.open("b", "u", "s")
    world.run("b")
    world.crash("b")
    world.tick(8)
    world.nodes["b"].wire.arrive_late()
    assert world.shown("u") == "offline"
    world.settle()


def test_order(world: World) -> None:
    """A team refuses a number that is not above the last one of that worker: answered, not done again."""
    world.choose("b", "v", "busy")
    world.tick()
    world.nodes["b"].wire.doom("lose", "choose")
    world.choose("b", "v", "online")
    world.run("b")
    world.choose("a", "v", "busy")
    world.run("a")
    world.tick(2)
    found = world.stored("t", "v")
    assert found is not None
    assert found.chosen == "busy"
    world.settle()


def test_same_number(world: World) -> None:
    """What was sent and not answered is sent again under the same number: a sign-out hits nobody who came since."""
    world.open("a", "u", "s")
    world.tick()
    world.nodes["b"].wire.doom("lose", "sign_out")
    world.sign_out("b", "u")
    world.run("b")
    world.cut_off("b")
    tab = world.open("a", "u", "z")
    assert tab is not None
    world.tick()
    world.up()
    world.tick(2)
    assert world.shown("u") == "online"
    assert tab.open
    world.settle()


def test_chain(world: World) -> None:
    """A team refuses a write whose predecessor it does not have (lost in a failover), and is told everything anew."""
    world.open("b", "u", "s")
    world.tick()
    before = world.remember()
    world.lose("b", "u", "s")
    world.run("b")
    world.restore(before, silent=True)
    world.choose("b", "u", "online")
    world.run("b")
    found = world.stored("t", "u")
    assert found is not None
    assert not found.holds
    world.settle()


def test_drop_stale(world: World) -> None:
    """After all of a team was told anew, holds of one's own with lower numbers are let go, into grace."""
    world.open("a", "u", "s")
    world.tick()
    before = world.remember()
    world.lose("a", "u", "s")
    world.run("a")
    world.restore(before)
    world.tick(2)
    found = world.stored("t", "u")
    assert found is not None
    assert (found.status, found.holds) == ("online", {})
    world.settle()
