"""What this worker holds: for each team, user and session the lease that stands for its open connections.

Heartbeats only note when there was input. Every third of a lease all leases are renewed in bulk, evenly spread, and
bring the notes along; only input that could matter before that, because the user may be idle by then, is told at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final

from presence_server.store.queue import BULK
from presence_server.store.store import Store

# Parts of the interval. Each hold keeps its part, so that its lease is never renewed later than a third of it.
SLOTS: Final = 32


class Hold:
    """The connections of one session in one team on this worker.

    Attributes:
        team, user, session: whose they are.
        connections: how many are open.
        active_s: the user's latest input on any of them, by the monotonic clock.
        told_s: the latest input that Redis has been told of.
        safe_until_s: until when untold input cannot matter, as far as is known; 0 for not known.
        issued_at_s: the newest `iat` among their tokens.
        version: the team's version after the join; 0 until Redis has answered it.
        refused_at: the version of a sign-out that came while the join was under way; a join before it is void.
        ended: signed out; nothing of it is told to Redis any more.
        slot: the part of the interval in which its lease is renewed.
    """

    __slots__ = (
        "active_s",
        "connections",
        "ended",
        "issued_at_s",
        "refused_at",
        "safe_until_s",
        "session",
        "slot",
        "team",
        "told_s",
        "user",
        "version",
    )

    def __init__(self, team: str, user: str, session: str, active_s: float, slot: int) -> None:
        self.team = team
        self.user = user
        self.session = session
        self.connections = 0
        self.active_s = active_s
        self.told_s = active_s
        self.safe_until_s = 0.0
        self.issued_at_s = 0.0
        self.version = 0
        self.refused_at = 0
        self.ended = False
        self.slot = slot


class Holds:
    """All holds of a worker.

    Args:
        store: where leases are.
        interval_s: how often each lease is renewed: a third of what it lasts.
        idle_timeout_s: tells a team's idle timeout, seconds.
        on_gone: is told of a lease that Redis does not have any more, and why: `expired` or `signed_out`.
    """

    def __init__(
        self,
        store: Store,
        interval_s: float,
        idle_timeout_s: Callable[[str], float],
        on_gone: Callable[[Hold, str], None],
    ) -> None:
        self._store = store
        self._interval_s = interval_s
        self._idle_timeout_s = idle_timeout_s
        self._on_gone = on_gone
        self._holds: dict[str, dict[tuple[str, str], Hold]] = {}
        self._slots: list[dict[Hold, None]] = [{} for _ in range(SLOTS)]

    def __iter__(self) -> Iterator[Hold]:
        for holds in list(self._holds.values()):
            yield from list(holds.values())

    def open(self, team: str, user: str, session: str, active_s: float, issued_at_s: float) -> Hold:
        """Count one more connection of a session in a team."""
        holds = self._holds.setdefault(team, {})
        hold = holds.get((user, session))
        if hold is None or hold.ended:
            # Neighbours share a slot, and so a call.
            slot = (hash(team) + len(holds) // BULK) % SLOTS
            hold = holds[user, session] = Hold(team, user, session, active_s, slot)
            self._slots[slot][hold] = None
        hold.connections += 1
        hold.active_s = max(hold.active_s, active_s)
        hold.issued_at_s = max(hold.issued_at_s, issued_at_s)
        return hold

    def close(self, hold: Hold) -> None:
        """Count one connection less, and tell Redis, which forgives what was lost (rule 6)."""
        hold.connections -= 1
        if not hold.connections:
            self._drop(hold)
        if not hold.ended:
            self._store.leave(hold.team, hold.user, hold.session, hold.connections)

    def end(self, hold: Hold) -> None:
        """The session was signed out of the team."""
        hold.ended = True
        self._drop(hold)

    def touch(self, hold: Hold, active_s: float, now_s: float) -> None:
        """There was input: note it, and tell Redis now if it could matter before the next renewal."""
        if active_s <= hold.active_s:
            return
        hold.active_s = active_s
        if now_s >= hold.safe_until_s:
            # Worked out here, a few times an hour, rather than for every heartbeat.
            hold.safe_until_s = hold.told_s + self._idle_timeout_s(hold.team) - 2 * self._interval_s
            if now_s >= hold.safe_until_s and hold.version:
                self.renew(hold)

    def reconsider(self, team: str) -> None:
        """The team's idle timeout changed."""
        for hold in self._holds.get(team, {}).values():
            hold.safe_until_s = 0.0

    def renew(self, hold: Hold) -> None:
        """Renew one lease, with the next batch."""
        if not self._store.open:
            # All leases are restated once Redis is back.
            return
        news_s = hold.active_s if hold.active_s > hold.told_s else None
        hold.told_s = hold.active_s
        renewed = self._store.renew(hold.team, hold.user, hold.session, hold.connections, news_s)
        renewed.add_done_callback(lambda future: self._renewed(hold, future))

    def _renewed(self, hold: Hold, future: asyncio.Future[str | None]) -> None:
        if future.cancelled() or future.exception() is not None or hold.ended or not hold.connections:
            return
        if (why := future.result()) is not None:
            self._on_gone(hold, why)

    def _drop(self, hold: Hold) -> None:
        self._slots[hold.slot].pop(hold, None)
        holds = self._holds.get(hold.team, {})
        if holds.get((hold.user, hold.session)) is hold:
            del holds[hold.user, hold.session]
            if not holds:
                del self._holds[hold.team]

    async def run(self) -> None:
        """Renew all leases, a slot at a time over the interval, until cancelled."""
        step_s = self._interval_s / SLOTS
        due_s = time.monotonic()
        while True:
            for slot in self._slots:
                # By team, so that neighbours share calls.
                for hold in sorted(slot, key=_team):
                    if hold.version:
                        self.renew(hold)
                # After a standstill the turn goes on from now: what is late need not be done several times over.
                due_s = max(due_s + step_s, time.monotonic())
                await asyncio.sleep(due_s - time.monotonic())


def _team(hold: Hold) -> str:
    return hold.team
