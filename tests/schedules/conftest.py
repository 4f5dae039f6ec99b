"""Fixtures of all schedules."""

from __future__ import annotations

import math

import pytest

from presence_server.live import teams
from presence_server.store import pace
from tests.schedules.world import LINGER_S


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers leave empty teams within a lease, as in service; pipelines go at once: time does not pass by itself."""
    monkeypatch.setattr(teams, "LINGER_S", LINGER_S)
    monkeypatch.setattr(pace, "AT_ONCE", math.inf)
