"""Schedules in which Redis loses writes, or a worker messages: noticed, and told anew."""

from __future__ import annotations

from tests.schedules.world import LEASE_S, World


def test_audit(world: World) -> None:
    """Every third of a lease a worker reads mark, own number and other holders of each open team."""
    before = world.remember()
    world.open("a", "u", "s")
    world.run("a")
    world.restore(before, silent=True)
    world.tick(LEASE_S // 3 + 1)
    assert world.shown("u") == "online"
    world.settle()


def test_compare_first(world: World) -> None:
    """Every reading compares its mark with the roster's before the roster is replaced."""
    world.open("b", "u", "s")
    world.open("a", "v", "s")
    world.tick()
    before = world.remember()
    world.sign_out("a", "u")
    world.tick()
    # Who has seen him go is not shown an older version of the same epoch.
    world.restore(before)
    world.settle()


def test_fork_epoch(world: World) -> None:
    """A mark below or beside one's own begins a new epoch."""
    world.choose("b", "u", "busy")
    world.run("b")
    before = world.remember()
    epoch = world.standing("t").mark.epoch
    world.open("a", "u", "s")
    world.tick()
    world.restore(before, silent=True)
    world.tick(LEASE_S // 3 + 1)
    assert world.standing("t").mark.epoch != epoch
    assert world.shown("u") == "busy"
    world.settle()


def test_prev_tip(world: World) -> None:
    """A message names the tip before it, so that a fork that was overtaken is seen."""
    world.open("a", "v", "s")
    world.open("b", "u", "s")
    world.tick(2)
    before = world.remember()
    world.choose("a", "u", "busy")
    world.run("a", "b")
    # The choice is lost, with the worker it was made on; another version comes under its number, and one after that.
    world.crash("a")
    world.restore(before, silent=True)
    world.start("c")
    with world.deaf("b"):
        world.choose("c", "w", "busy")
        world.advance_only("c", 600)
    world.choose("c", "w", "online")
    world.run("c", "b")
    world.settle()


def test_epoch_restate(world: World) -> None:
    """Who finds a fork or another epoch tells all he holds there anew."""
    world.open("a", "u", "s")
    world.tick()
    before = world.remember()
    world.sign_out("b", "u")
    world.run("b")
    world.run("a")
    world.restore(before, silent=True)
    world.settle()


def test_check_holds(world: World) -> None:
    """A reading also sees whether one's own holds are there; one that is not is asked for anew."""
    world.open("b", "v", "s")
    world.tick()
    world.cut_off("b")
    world.sign_out("a", "v")
    world.tick()
    world.up()
    world.tick(3)
    tab = world.tabs()[0]
    assert tab.code == 4506
    world.settle()
