"""Faults of clients: what many of them do at once."""

from __future__ import annotations

import asyncio
from typing import Final

from reliability.faults.fault import Area, CarryOut, Fault, Hit
from reliability.oracle.record import Trouble
from reliability.oracle.spans import Span
from reliability.stage import Stage
from tests.support.timing import now_ms


def _many(action: str, share: float) -> CarryOut:
    async def carry_out(stage: Stage, hit: Hit) -> list[Trouble]:
        at = now_ms()
        doing = [asyncio.create_task(each) for each in stage.everybody(action, share, hit.for_s)]
        if doing:
            await asyncio.wait(doing)
        return [Trouble(hit.fault, Span(at, now_ms()))]

    return carry_out


def _fault(name: str, about: str, carry_out: CarryOut, lasts_s: tuple[float, float] = (0, 0)) -> Fault:
    return Fault(name, about, lasts_s, carry_out, Area.CLIENTS)


FAULTS: Final = (
    _fault("clients-cut", "all clients are cut off at once", _many("drop", 1)),
    _fault("clients-half-open", "half of all clients change networks at once", _many("switch", 0.5)),
    _fault("clients-unread", "a fifth of all clients read nothing", _many("look_away", 0.2), (6, 12)),
)
