"""Schedules of sign-outs and of input: final the ones, the newest of the other."""

from __future__ import annotations

from tests.schedules.conftest import NewWorld
from tests.schedules.world import LEASE_S, World


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
    assert world.shown("u") == "offline"
    world.settle()


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
    world.settle()


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
    world.settle()


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
    found = world.stored("t", "u")
    assert found is not None
    assert world.nodes["b"].name not in {worker for worker, _ in found.holds}
    world.settle()


def test_absolute(world: World) -> None:
    """Input is told as an instant, not as "so long ago"."""
    tab = world.open("a", "u", "s")
    assert tab is not None
    world.nodes["a"].wire.doom("hold", "hold")
    world.run("a")
    world.jump()
    world.nodes["a"].wire.release()
    world.run("a")
    found = world.stored("t", "u")
    assert found is not None
    assert found.active_ms == tab.opened_ms
    world.settle()


def test_absolute_while_a_hello_waits(world: World) -> None:
    """The input that a hello tells of was so long ago when it came, not when Redis was back."""
    world.down()
    tab = world.open("a", "u", "s")
    assert tab is not None
    world.tick(3)
    world.up()
    world.tick(3)
    found = world.stored("t", "u")
    assert found is not None
    assert found.active_ms == tab.opened_ms
    world.settle()


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
    assert world.shown("u") == "online"


def test_absolute_while_its_hello_waits(new_world: NewWorld) -> None:
    """So was the input of a message that came while its connection's hello waited."""
    world = new_world(idle_ms=7_000)
    world.down()
    world.open("a", "u", "s")
    world.tick(2)
    world.input("a", "u", "s")
    at_ms = world.time.now_ms
    world.tick(2)
    world.up()
    world.tick(3)
    found = world.stored("t", "u")
    assert found is not None
    assert found.active_ms <= at_ms
    world.settle()


def test_a_timeout_that_stays_what_it_was_is_no_reason(new_world: NewWorld) -> None:
    """Who is idle by the default is idle when that becomes the team's own, too: no setting made him so."""
    world = new_world(idle_ms=7_000)
    world.tick(8)
    world.configure("a", idle_timeout_ms=7_000)
    world.open("a", "u", "s", idle_ms=8_000)
    world.tick()
    found = world.stored("t", "u")
    assert found is not None
    assert (found.status, found.reason) == ("offline", "idle")
    world.settle()


def test_the_task_that_brought_somebody_in_does_not_stay(world: World) -> None:
    """It would last as long as the connection, with all that it has seen: there are ten thousand of them."""
    world.open("a", "u", "s")
    world.tick()
    (tab,) = world.nodes["a"].tabs
    assert tab.views["t"].statuses() == {"u": "online"}
    assert [membership.arriving for membership in tab.connection.memberships] == [None]
