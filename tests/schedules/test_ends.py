"""Schedules of the end of a worker, of intervals in which nobody swept, and of a worker that leaves a team."""

from __future__ import annotations

from tests.schedules.conftest import NewWorld
from tests.schedules.world import LEASE_S, LINGER_S, World

# --- ends of workers -------------------------------------------------------------------------------------------------


def test_bury_waits(world: World) -> None:
    """Burial names the end of the lease and does nothing before the team's own clock has passed it."""
    # Without a grace, which would cover a burial that came too early.
    world.configure("a", grace_ms=0)
    world.open("b", "u", "s")
    world.open("a", "v", "s")
    world.tick(2)
    # The index has lost everything, and finds a worker in the team that it does not know.
    world.restore({}, of="due", silent=True)
    world.stop("b")
    world.tick(2)
    # The team is looked at for another reason, before the lease of that worker can be over.
    world.open("a", "w", "s")
    world.run("a")
    world.lose("a", "w", "s")
    world.tick()
    assert world.client.exists(f"{world.keys.due}:burials")
    assert world.shown("u") == "online"
    world.cont("b")
    world.tick(2)
    world.settle()
    assert world.oracle.history["t", "u"] == [("online", "signed_in"), ("offline", "disconnected")]


def test_doubt(world: World) -> None:
    """A holder in a team whom the index does not know is reported to it, and buried a lease later."""
    world.open("a", "v", "s")
    world.open("b", "u", "s")
    world.tick()
    world.restore({}, of="due", silent=True)
    world.crash("b")
    world.tick(2 * LEASE_S + 3)
    assert world.shown("u") == "offline"
    world.settle()


def test_doubt_record(new_world: NewWorld) -> None:
    """So are a living worker's holds in a team it is not on record for, unless it is on record by then."""
    world = new_world(idle_ms=7_000)
    world.open("a", "v", "s")
    world.open("b", "u", "s")
    world.tick()
    before = world.remember()
    world.lose("b", "u", "s")
    world.tick(LINGER_S + 2)
    assert not world.nodes["b"].lanes()
    # The team alone goes back to when "b" was there.
    world.restore(before, of="t")
    world.tick(2 * LEASE_S + 3)
    found = world.stored("t", "u")
    assert found is not None
    assert not found.holds
    world.settle()


def test_lift(world: World) -> None:
    """After an interval without a sweep, leases that were not over when it began get one more."""
    world.open("b", "u", "s")
    world.tick()
    world.jump(5)
    world.run("a")
    world.jump(2)
    world.run("a")
    assert world.shown("u") == "online"
    world.settle()


def test_lift_once(world: World) -> None:
    """A lease that was lifted counts from its worker's own last word: gap after gap keeps nobody for ever."""
    world.open("a", "u", "s")
    world.run("a")
    world.jump(5)
    world.crash("a")
    world.tick()
    for _ in range(3):
        world.jump(4)
        world.tick()
    assert world.shown("u") == "offline"
    world.settle()


def test_born_gap(new_world: NewWorld) -> None:
    """An index that is new begins with a gap up to its birth."""
    world = new_world(idle_ms=10_000)
    world.open("a", "u", "s")
    world.open("b", "v", "s")
    world.tick()
    world.down()
    world.jump(6)
    world.input("a", "u", "s")
    world.run("a")
    world.jump(2)
    world.restore({}, of="due")
    world.jump(2)
    world.up()
    world.advance_only("b", 2_000)
    assert ("offline", "idle") not in world.oracle.history["t", "u"]
    world.settle()


def test_idle_gap(new_world: NewWorld) -> None:
    """Deadlines inside a gap are put off: who would have told of input could not."""
    world = new_world(idle_ms=7_000)
    world.open("a", "v", "s")
    world.run("a")
    world.down()
    world.jump(6)
    world.input("a", "v", "s")
    world.run("a")
    world.jump(2)
    world.up()
    world.advance_only("b", 1_900)
    assert world.shown("v") == "online"
    world.settle()


def test_sweep_ends(new_world: NewWorld) -> None:
    """Only a sweep takes somebody offline by a deadline; a loss meanwhile does not."""
    world = new_world(idle_ms=7_000)
    world.open("a", "u", "s")
    world.open("b", "u", "z")
    world.tick()
    world.down()
    world.jump(4)
    world.input("a", "u", "s")
    world.run("a")
    world.jump(4)
    world.up()
    world.lose("b", "u", "z")
    world.advance_only("b", 500)
    world.advance_only("b", 500)
    assert world.shown("u") == "online"
    world.settle()


# --- a worker that leaves a team -------------------------------------------------------------------------------------


def test_part(world: World) -> None:
    """A worker with nobody in a team any more says so in the team, then takes itself off the record."""
    world.open("a", "u", "s")
    world.tick()
    world.lose("a", "u", "s")
    world.tick(LINGER_S + 2)
    fences = world.standing("t").fences
    assert fences[world.nodes["a"].name].left_ms
    assert not world.client.exists(f"{world.keys.due}:of:{world.nodes['a'].name}")
    world.settle()


def test_left(world: World) -> None:
    """A name that left a team is remembered there for a lease with its last number."""
    world.nodes["b"].wire.doom("straggle", "hold")
    world.open("b", "u", "s")
    world.run("b")
    world.tick()
    world.lose("b", "u", "s")
    world.tick(LINGER_S + 1)
    assert world.standing("t").fences[world.nodes["b"].name].left_ms
    world.nodes["b"].wire.arrive_late()
    assert world.shown("u") == "offline"
    world.settle()


def test_leave_checked(world: World) -> None:
    """A worker leaves a team only if that has its number before, and the mark that the worker knows."""
    world.open("b", "u", "s")
    world.tick()
    before = world.remember()
    world.lose("b", "u", "s")
    world.tick()
    world.jump(LINGER_S)
    world.restore(before, silent=True)
    # Before an audit shows the loss.
    world.nodes["b"].wire.doom("hold", "mget")
    world.run("b")
    world.nodes["b"].wire.release()
    world.tick()
    found = world.stored("t", "u")
    assert found is not None
    assert not found.holds
    world.settle()
