"""What may go wrong between workers and Redis, one smallest schedule for each rule that keeps it from doing harm.

Each test is named after its rule, and is a schedule that violates something without it. Real workers run on a real
Valkey; only people, time and the network are the test's (`tests.schedules.world`). What is never allowed, and what must
hold in the end, `world.oracle` says, for all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.schedules.world import LEASE_MS, LINGER_S, World
from tests.support.valkey import Valkey

NewWorld = Callable[..., World]

LEASE_S: Final = LEASE_MS // 1000


@pytest.fixture
def new_world(shared_valkey: Valkey, key_prefix: str) -> Iterator[NewWorld]:
    """Makes the world of a schedule; workers "a" and "b" have started in it."""
    worlds: list[World] = []

    def make(**options: Any) -> World:
        worlds.append(World(shared_valkey, key_prefix, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world()


def shown(world: World, user: str, team: str = "t") -> str:
    found = world.oracle.stored(team, user)
    return found.status if found else "offline"


# --- on record in the index -------------------------------------------------------------------------------------------


def test_record_first(world: World) -> None:
    """A worker is on record for a team, answered by the index, before it writes to the team."""
    world.nodes["b"].wire.doom("cut", "enlist")
    world.open("b", "u", "s")
    world.run("b")
    assert shown(world, "u") == "offline"
    world.tick()
    assert shown(world, "u") == "online"
    # Right after its first write to the team: the burial must find it there.
    world.crash("b")
    world.tick(LEASE_S + 2)
    assert shown(world, "u") == "offline"
    world.oracle.settle()


def test_record_alive(world: World) -> None:
    """The index puts nobody on record who is not alive in it."""
    world.nodes["b"].wire.doom("straggle", "enlist")
    world.open("b", "u", "s")
    world.run("b")
    world.crash("b")
    world.tick(8)
    world.nodes["b"].wire.arrive_late()
    world.oracle.settle()


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
    assert (shown(world, "u", "t"), shown(world, "v", "r")) == ("online", "online")
    world.crash("b")
    world.tick(LEASE_S + 2)
    assert (shown(world, "u", "t"), shown(world, "v", "r")) == ("offline", "offline")
    world.oracle.settle()


# --- a write to a team: (worker, until, number before, number) --------------------------------------------------------


def test_until(world: World) -> None:
    """A write says until when its worker's lease lasts; past that, by the team's own clock, it is refused."""
    world.nodes["b"].wire.doom("straggle", "hold")
    world.open("b", "u", "s")
    world.run("b")
    world.crash("b")
    world.tick(8)
    world.nodes["b"].wire.arrive_late()
    assert shown(world, "u") == "offline"
    world.oracle.settle()


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
    found = world.oracle.stored("t", "v")
    assert found is not None
    assert found.chosen == "busy"
    world.oracle.settle()


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
    assert shown(world, "u") == "online"
    assert tab.open
    world.oracle.settle()


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
    found = world.oracle.stored("t", "u")
    assert found is not None
    assert not found.holds
    world.oracle.settle()


def test_drop_stale(world: World) -> None:
    """After all of a team was told anew, holds of one's own with lower numbers are let go, into grace."""
    world.open("a", "u", "s")
    world.tick()
    before = world.remember()
    world.lose("a", "u", "s")
    world.run("a")
    world.restore(before)
    world.tick(2)
    found = world.oracle.stored("t", "u")
    assert found is not None
    assert (found.status, found.holds) == ("online", {})
    world.oracle.settle()


# --- ends of workers --------------------------------------------------------------------------------------------------


def test_bury_waits(world: World) -> None:
    """Burial names the end of the lease and does nothing before the team's own clock has passed it."""
    # Without a grace, which would cover a burial that came too early.
    world.configure("a", grace_ms=0)
    world.open("b", "u", "s")
    world.open("a", "v", "s")
    world.tick(2)
    # The index has lost everything, and the first to beat finds a worker in the team that it does not know.
    world.restore({}, of="due", silent=True)
    world.jump()
    world.run("a")
    world.tick()
    world.oracle.settle()
    assert world.oracle.history["t", "u"][0] == ("online", "signed_in")
    assert ("offline", "disconnected") not in world.oracle.history["t", "u"][:-1]


def test_doubt(world: World) -> None:
    """A holder in a team whom the index does not know is reported to it, and buried a lease later."""
    world.open("a", "v", "s")
    world.open("b", "u", "s")
    world.tick()
    world.restore({}, of="due", silent=True)
    world.crash("b")
    world.tick(2 * LEASE_S + 3)
    assert shown(world, "u") == "offline"
    world.oracle.settle()


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
    found = world.oracle.stored("t", "u")
    assert found is not None
    assert not found.holds
    world.oracle.settle()


def test_lift(world: World) -> None:
    """After an interval without a sweep, leases that were not over when it began get one more."""
    world.open("b", "u", "s")
    world.tick()
    world.jump(5)
    world.run("a")
    world.jump(2)
    world.run("a")
    assert shown(world, "u") == "online"
    world.oracle.settle()


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
    assert shown(world, "u") == "offline"
    world.oracle.settle()


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
    world.oracle.settle()


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
    world.advance_only("b", 1_500)
    assert shown(world, "v") == "online"
    world.oracle.settle()


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
    assert shown(world, "u") == "online"
    world.oracle.settle()


# --- a worker that leaves a team --------------------------------------------------------------------------------------


def test_part(world: World) -> None:
    """A worker with nobody in a team any more says so in the team, then takes itself off the record."""
    world.open("a", "u", "s")
    world.tick()
    world.lose("a", "u", "s")
    world.tick(LINGER_S + 2)
    fences = world.oracle.standing("t").fences
    assert fences[world.nodes["a"].name].left_ms
    assert not world.client.exists(f"{world.keys.due}:of:{world.nodes['a'].name}")
    world.oracle.settle()


def test_left(world: World) -> None:
    """A name that left a team is remembered there for a lease with its last number."""
    world.nodes["b"].wire.doom("straggle", "hold")
    world.open("b", "u", "s")
    world.run("b")
    world.tick()
    world.lose("b", "u", "s")
    world.tick(LINGER_S + 1)
    assert world.oracle.standing("t").fences[world.nodes["b"].name].left_ms
    world.nodes["b"].wire.arrive_late()
    assert shown(world, "u") == "offline"
    world.oracle.settle()


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
    found = world.oracle.stored("t", "u")
    assert found is not None
    assert not found.holds
    world.oracle.settle()


# --- losses -----------------------------------------------------------------------------------------------------------


def test_audit(world: World) -> None:
    """Every third of a lease a worker reads mark, own number and other holders of each open team."""
    before = world.remember()
    world.open("a", "u", "s")
    world.run("a")
    world.restore(before, silent=True)
    world.tick(LEASE_S // 3 + 1)
    assert shown(world, "u") == "online"
    world.oracle.settle()


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
    world.oracle.settle()


def test_fork_epoch(world: World) -> None:
    """A mark below or beside one's own begins a new epoch."""
    world.choose("b", "u", "busy")
    world.run("b")
    before = world.remember()
    epoch = world.oracle.standing("t").mark.epoch
    world.open("a", "u", "s")
    world.tick()
    world.restore(before, silent=True)
    world.tick(LEASE_S // 3 + 1)
    assert world.oracle.standing("t").mark.epoch != epoch
    assert shown(world, "u") == "busy"
    world.oracle.settle()


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
    world.oracle.settle()


def test_epoch_restate(world: World) -> None:
    """Who finds a fork or another epoch tells all he holds there anew."""
    world.open("a", "u", "s")
    world.tick()
    before = world.remember()
    world.sign_out("b", "u")
    world.run("b")
    world.run("a")
    world.restore(before, silent=True)
    world.oracle.settle()


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
    world.oracle.settle()


# --- people -----------------------------------------------------------------------------------------------------------


def test_refuse_out(world: World) -> None:
    """A team refuses sessions that were signed out of it, for a while."""
    world.open("a", "u", "s")
    world.run("a")
    world.sign_out("b", "u")
    world.run("b")
    tab = world.open("b", "u", "s")
    assert tab is not None
    world.tick()
    assert tab.code == 4506
    assert shown(world, "u") == "offline"
    world.oracle.settle()


def test_ask_out(world: World) -> None:
    """Whoever opens a hold asks first whether the session is signed out."""
    world.open("a", "u", "s")
    world.tick()
    world.logout("a", "u", "s")
    world.tick(8)
    # Whatever the team remembers of it is forgotten.
    world.client.delete(f"{world.keys.team('t')}:out:u:s")
    tab = world.open("a", "u", "s")
    assert tab is not None
    world.tick()
    assert tab.code == 4506
    world.oracle.settle()


def test_ask_out_after_long_absence(world: World) -> None:
    """So does whoever tells of it anew, however long he was cut off."""
    world.open("a", "u", "s")
    tab = world.open("b", "u", "s")
    assert tab is not None
    world.tick()
    world.cut_off("b")
    world.logout("a", "u", "s")
    world.tick(LEASE_S + 2)
    world.client.delete(f"{world.keys.team('t')}:out:u:s")
    world.up()
    world.tick(3)
    assert tab.code == 4506
    world.oracle.settle()


def test_own_end(world: World) -> None:
    """Whoever lets a hold go tells the team himself, even if it was another worker that signed the session out."""
    world.open("b", "u", "s")
    world.open("a", "u", "s")
    world.tick()
    world.nodes["a"].wire.doom("halve", "sign_out")
    world.logout("a", "u", "s")
    world.run("a")
    world.crash("a")
    world.tick()
    found = world.oracle.stored("t", "u")
    assert found is not None
    assert world.nodes["b"].name not in {worker for worker, _ in found.holds}
    world.oracle.settle()


def test_absolute(world: World) -> None:
    """Input is told as an instant, not as "so long ago"."""
    tab = world.open("a", "u", "s")
    assert tab is not None
    world.nodes["a"].wire.doom("hold", "hold")
    world.run("a")
    world.jump()
    world.nodes["a"].wire.release()
    world.run("a")
    found = world.oracle.stored("t", "u")
    assert found is not None
    assert found.active_ms == tab.opened_ms
    world.oracle.settle()


def test_absolute_while_a_hello_waits(world: World) -> None:
    """The input that a hello tells of was so long ago when it came, not when Redis was back."""
    world.down()
    tab = world.open("a", "u", "s")
    assert tab is not None
    world.tick(3)
    world.up()
    world.tick(3)
    found = world.oracle.stored("t", "u")
    assert found is not None
    assert found.active_ms == tab.opened_ms
    world.oracle.settle()


def test_contradict(new_world: NewWorld) -> None:
    """Who learns that one of his own went idle although he knows newer input says so at once."""
    world = new_world(idle_ms=20_000)
    world.open("a", "u", "s")
    world.tick(4)
    # Nothing that must be told yet, until the timeout becomes a shorter one.
    world.input("a", "u", "s")
    world.run("a")
    world.configure("b", idle_timeout_ms=3_000)
    world.run("a")
    assert shown(world, "u") == "online"


# --- where the store differs from the model on purpose ----------------------------------------------------------------


def test_graces_of_a_user_are_one(world: World) -> None:
    """All that is forgiven of a user is one instant, the latest; the model keeps one for each session."""
    world.open("a", "u", "s")
    world.open("b", "u", "z")
    world.tick()
    world.lose("a", "u", "s")
    world.tick(2)
    world.lose("b", "u", "z")
    world.tick(2)
    assert shown(world, "u") == "online"
    world.tick(2)
    assert world.oracle.history["t", "u"][-1] == ("offline", "disconnected")
    world.oracle.settle()


def test_burial_spares_who_was_forgiven(world: World) -> None:
    """A burial leaves a grace alone that ends later; in the model it takes forgiven holds along."""
    world.configure("a", grace_ms=2 * LEASE_MS)
    world.open("a", "u", "s")
    world.open("b", "u", "z")
    world.tick()
    world.crash("b")
    world.tick(LEASE_S - 1)
    world.lose("a", "u", "s")
    world.tick(2 * LEASE_S - 1)
    assert shown(world, "u") == "online"
    world.tick(2)
    assert world.oracle.history["t", "u"][-1] == ("offline", "disconnected")
    world.oracle.settle()


def test_burial_forgives_from_the_last_renewal_on(world: World) -> None:
    """Open holds of a dead worker are forgiven like losses, from its last beat on; in the model they just go."""
    world.configure("a", grace_ms=2 * LEASE_MS)
    world.open("b", "u", "s")
    world.tick()
    world.crash("b")
    world.tick(2 * LEASE_S - 1)
    assert shown(world, "u") == "online"
    world.tick(2)
    assert world.oracle.history["t", "u"][-1] == ("offline", "disconnected")
    world.oracle.settle()


def test_burials_and_drops_find_everybody(world: World) -> None:
    """They go through the index of who is held by whom, some at once; the model looks at every user."""
    users = [f"u{number}" for number in range(60)]
    for user in users:
        world.open("b", user, "s")
        world.open("a", user, "s")
    world.tick()
    before = world.remember()
    for user in users:
        world.lose("a", user, "s")
    world.run("a")
    world.restore(before)
    world.tick(2)
    assert not world.client.exists(f"{world.keys.team('t')}:held:{world.nodes['a'].name}")
    world.crash("b")
    world.tick(LEASE_S + 2)
    assert {shown(world, user) for user in users} == {"offline"}
    world.oracle.settle()
