"""The beat: twice a second this worker says that it lives, whatever else it is busy with, and learns what is due."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from presence_server.store.link import OutOfReach, Refused
from presence_server.store.store import Store
from presence_server.store.types import Claim

INTERVAL_S: Final = 0.5
# Redis's clock against this machine's: more than this is a jump.
JUMP_MS: Final = 1_000


class Rhythm:
    """When the next beat is: the same moment for all hearts of a worker, so that their beats share pipelines."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    async def pause(self) -> None:
        """Wait until the next moment."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            # Jittered, so that workers do not fall into step.
            loop.call_later(INTERVAL_S * random.uniform(0.8, 1.0), self._come)
        await asyncio.shield(self._next)

    def _come(self) -> None:
        come, self._next = self._next, None
        assert come is not None
        come.set_result(None)


class Heart:
    """Beats.

    Args:
        store: where to.
        room: how many teams the sweeper can take.
        on_due: is given each claim that brought something.
        on_jump: is called when Redis's clock jumped.
        on_other_data: is called when Redis is not the one it was: it lost its data.
        on_look: is called when something may have been lost that a look at the teams would show.
        rhythm: when to beat.
        say: logs, with a level, what befalls many partitions alike.

    Attributes:
        restoring: whether this worker is writing its rosters back; it then claims no teams.
        born: the word by which Redis's data is known; empty before it was accepted by a recovery.
    """

    def __init__(
        self,
        store: Store,
        *,
        room: Callable[[], int],
        on_due: Callable[[Claim], None],
        on_jump: Callable[[], None],
        on_other_data: Callable[[], None],
        on_look: Callable[[], None],
        rhythm: Rhythm,
        say: Callable[[int, str], None],
    ) -> None:
        self._store = store
        self._room = room
        self._on_due = on_due
        self._on_jump = on_jump
        self._on_other_data = on_other_data
        self._on_look = on_look
        self._rhythm = rhythm
        self._say = say
        self._beaten: asyncio.Future[Claim] | None = None
        self._complained = False
        self._told_of = ""
        self.restoring = False
        self.born = ""

    async def next(self) -> Claim:
        """The next claim that is answered."""
        if self._beaten is None:
            self._beaten = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._beaten)

    async def run(self) -> None:
        """Beat until cancelled; a beat that fails is tried again."""
        while True:
            at_once = False
            try:
                at_once = await self.beat()
                self._complained = False
            except OutOfReach as exc:
                self._store.down(str(exc))
            except Refused as exc:
                # As long as this lasts nobody is swept: that is as bad as no Redis at all.
                if not self._complained:
                    self._say(logging.ERROR, f"Redis refused the beat: {exc}")
                    self._complained = True
                self._store.down(f"Redis refused the beat: {exc}")
            if not at_once:
                await self._rhythm.pause()

    async def beat(self) -> bool:
        """Beat once; tells whether there is more to claim at once."""
        sweeps = self._store.open and not self.restoring
        room = self._room() if sweeps else 0
        lapses, recorded = self._store.lease.lapses, self._store.lease.recorded
        claim, jump_ms = await self._store.vigil.beat(teams=room, restoring=self.restoring, sweeps=sweeps)
        if self._store.lease.lapses != lapses:
            self._say(logging.WARNING, "The lease had ended: going on under another name")
            self._on_look()
            return True
        if abs(jump_ms) > JUMP_MS and self.born:
            self._on_jump()
        if self.born not in ("", claim.born):
            if self._told_of != claim.born:
                self._told_of = claim.born
                self._on_other_data()
        elif claim.recorded < recorded:
            await self._store.record_anew()
            self._on_look()
        if claim.due or (room and self._store.vigil.doubting):
            self._on_due(claim)
        if self._beaten is not None:
            self._beaten.set_result(claim)
            self._beaten = None
        return claim.more and self._room() > 0
