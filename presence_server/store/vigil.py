"""Who vouches for whom: this worker's beat, and the workers it finds in teams that nobody vouches for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from presence_server.store.caller import Caller
from presence_server.store.lease import Lease
from presence_server.store.operations import claim, doubt
from presence_server.store.types import Claim, Standing

# Reported to the index at once; a worker that finds more goes on with the next sweep.
_DOUBTS_AT_ONCE: Final = 300


class Vigil:
    """Beats, and doubts.

    Args:
        caller: makes commands.
        lease: the worker's.
        on_lapse: is called when the index does not know this worker any more.

    Attributes:
        alive: the workers that were alive at the last beat.
        beaten_s: when the last beat was sent that the index has answered, by the monotonic clock; before the first,
            when this was made.
    """

    def __init__(self, caller: Caller, lease: Lease, on_lapse: Callable[[], None]) -> None:
        self._caller = caller
        self._lease = lease
        self._on_lapse = on_lapse
        self._doubts: dict[tuple[str, str], doubt.Doubt] = {}
        self.alive: frozenset[str] = frozenset()
        self.beaten_s = caller.clock()

    async def beat(self, *, teams: int, restoring: bool = False, sweeps: bool = True) -> tuple[Claim, float]:
        """Say that this worker lives, and learn what is due; with it, by how many ms Redis's clock jumped.

        Args:
            teams: how many it can look at.
            restoring: tell the others that this worker is writing its rosters back.
            sweeps: whether this worker sees to deadlines, be it that it is busy with some; not while it is cut off from
                its teams, and cannot tell of input either.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        caller, name = self._caller, self._lease.name
        beat = claim.Beat(name, self._lease.is_new, caller.word(), teams, restoring, sweeps)
        sent_s = caller.clock()
        raw = (await caller.link.execute([caller.index_command(claim.NAME, claim.encode(beat))]))[0]
        found = claim.decode(raw, caller.settings.lease_ttl_ms)
        jump_ms = caller.set_clock(found.now_ms, sent_s)
        caller.gaps = found.gaps
        self.alive = found.workers
        if name == self._lease.name:
            if found.alive:
                self.beaten_s = sent_s
                self._lease.renewed(found.now_ms + caller.settings.lease_ttl_ms)
            else:
                self._on_lapse()
        return found, jump_ms

    def look_at(self, team: str, standing: Standing) -> None:
        """Doubt the workers in a team that were not alive at the last beat."""
        self._doubt(team, standing, self.alive)

    def look_closely(self, team: str, standing: Standing, but: Collection[str] = ()) -> None:
        """Doubt all workers in a team but some: the index says whether they are on record for it."""
        self._doubt(team, standing, but)

    @property
    def doubting(self) -> bool:
        """Whether there is anything to report."""
        return bool(self._doubts)

    def take_doubts(self) -> list[doubt.Doubt]:
        """What is to be reported to the index with the next sweep, at most a few hundred at once."""
        return [self._doubts.pop(key) for key in list(self._doubts)[:_DOUBTS_AT_ONCE]]

    def _doubt(self, team: str, standing: Standing, but: Collection[str]) -> None:
        for worker, fence in standing.fences.items():
            if not fence.left_ms and worker != self._lease.name and worker not in but:
                self._doubts[worker, team] = doubt.Doubt(worker, team, fence.last)
