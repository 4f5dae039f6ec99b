"""Schedules in which the store differs from the model on purpose: one grace for a user, and burials that spare it."""

from __future__ import annotations

from tests.schedules.world import LEASE_MS, LEASE_S, World


def test_graces_of_a_user_are_one(world: World) -> None:
    """All that is forgiven of a user is one instant, the latest; the model keeps one for each session."""
    world.open("a", "u", "s")
    world.open("b", "u", "z")
    world.tick()
    world.lose("a", "u", "s")
    world.tick(2)
    world.lose("b", "u", "z")
    world.tick(2)
    assert world.shown("u") == "online"
    world.tick(2)
    assert world.oracle.history["t", "u"][-1] == ("offline", "disconnected")
    world.settle()


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
    assert world.shown("u") == "online"
    world.tick(2)
    assert world.oracle.history["t", "u"][-1] == ("offline", "disconnected")
    world.settle()


def test_burial_forgives_from_the_last_renewal_on(world: World) -> None:
    """Open holds of a dead worker are forgiven like losses, from its last beat on; in the model they just go."""
    world.configure("a", grace_ms=2 * LEASE_MS)
    world.open("b", "u", "s")
    world.tick()
    world.crash("b")
    world.tick(2 * LEASE_S - 1)
    assert world.shown("u") == "online"
    world.tick(2)
    assert world.oracle.history["t", "u"][-1] == ("offline", "disconnected")
    world.settle()


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
    assert {world.shown(user) for user in users} == {"offline"}
    world.settle()
