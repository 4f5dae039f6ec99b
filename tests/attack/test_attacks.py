"""Whatever one stranger or one user does, the others notice nothing: each attack has two of them beside it."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path

import pytest

from tests.attack.attacker import ATTACKS
from tests.conftest import NewSite
from tests.support.budget import LONG
from tests.support.client import Client
from tests.support.process import Process
from tests.support.site import Site
from tests.support.timing import SOON_S, UNIT
from tests.support.worker import environment, get_status

ATTACK_S = float(os.environ.get("PRESENCE_TEST_ATTACK_S", "3"))
MOST = 5.0
"""By how much an attack may slow others down."""
NOISE_S = (0.25 if LONG else 2.0) * UNIT
"""What a change may take on a busy machine by itself; the long run is for quiet ones."""


async def change_to_seen(juan: Client, maria: Client, seconds: float) -> list[float]:
    """How long it takes until Juan's choices are seen by María."""
    found: list[float] = []
    until_s = time.monotonic() + seconds
    status = "busy"
    while time.monotonic() < until_s or len(found) < 10:
        asked_s = time.monotonic()
        await juan.choose(status)
        await maria.sees("juan", status, within_s=2 * SOON_S)
        found.append(time.monotonic() - asked_s)
        status = "online" if status == "busy" else "busy"
        await asyncio.sleep(0.15)
    return found


def p99(samples: list[float]) -> float:
    return statistics.quantiles(samples, n=100, method="inclusive")[98]


def attacker(name: str, site: Site, directory: Path) -> Process:
    token = site.token("mallory", teams=["attackers"])
    command = [sys.executable, "-m", "tests.attack.attacker", name, str(site.workers[0].port), str(ATTACK_S), token]
    return Process(f"attacker-{name}", command, environment({}), directory)


@pytest.mark.parametrize("name", ATTACKS)
async def test_nobody_else_notices(name: str, new_site: NewSite, tmp_path: Path) -> None:
    """No attack slows a change down by more than five times, shows anybody offline, or leaves memory behind."""
    site = await new_site()
    maria, juan = await site.connect("maria"), await site.connect("juan")
    await maria.sees_all({"maria": "online", "juan": "online"})
    before_s = p99(await change_to_seen(juan, maria, 1.0))
    before_kb = site.workers[0].resident_kb
    hostile = attacker(name, site, tmp_path)
    hostile.spawn()
    try:
        during_s = p99(await change_to_seen(juan, maria, ATTACK_S))
        assert get_status(site.workers[0].port, "/healthz") == 200
    finally:
        hostile.close()
    assert during_s <= max(MOST * before_s, MOST * NOISE_S), f"{before_s:.3f} s before, {during_s:.3f} s during"
    for client in (maria, juan):
        client.check()
        assert client.close_code is None
        client.never_saw("juan", "offline")
        client.never_saw("maria", "offline")
    assert site.workers[0].resident_kb - before_kb < 64_000
    assert "Traceback" not in site.workers[0].log()
    assert site.workers[0].log().count("WARNING") <= 3, "strangers do not write the log"
