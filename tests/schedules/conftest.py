"""Fixtures of all schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from presence_server.live import access, teams
from presence_server.store import pace
from tests.schedules.world import LINGER_S, World
from tests.support.valkey import Valkey

NewWorld = Callable[..., World]


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers leave empty teams within a lease, as in service; pipelines go at once: time does not pass by itself."""
    monkeypatch.setattr(teams, "LINGER_S", LINGER_S)
    monkeypatch.setattr(pace, "AT_ONCE", math.inf)
    monkeypatch.setattr(access, "_TOLD_S", 0.0)


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
