"""Section 2 of the contract in a few lines, to compare the store with: it knows nothing of how anything is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from presence_server.core.status import OFFLINE

# Going offline is noticed within so long (rule 10).
NOTICED_MS: Final = 1_500
NEVER: Final = 10**15


class Told(NamedTuple):
    """What teammates were told of a user last."""

    status: str
    since: int
    reason: str


NOTHING: Final = Told(OFFLINE, 0, "")


@dataclass
class Person:
    """A user, by section 2 of the contract.

    Attributes:
        chosen: what he picked.
        active: his newest input.
        told: what teammates were told last.
        tabs: how many connections are open, by worker and session.
        forgiven: until when lost connections are.
        dying: sessions that were on a worker that died, until when its lease lasts.
        refused: sessions that may not come back.
    """

    chosen: str = "online"
    active: int = 0
    told: Told = NOTHING
    tabs: dict[tuple[str, str], int] = field(default_factory=dict)
    forgiven: int = 0
    dying: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def held_until(self) -> int:
        return NEVER if self.tabs else max(self.forgiven, *self.dying.values(), 0)

    def status(self, now: int, timeout: int) -> str:
        """Rule 1."""
        return self.chosen if now < min(self.held_until(), self.active + timeout) else OFFLINE

    def happened(self, now: int, timeout: int, set_at: int, cause: str) -> None:
        """Something has happened to him that shows at once: he appears, changes colour, or signs out (rule 8)."""
        status = self.status(now, timeout)
        if self.told.status == OFFLINE:
            if status != OFFLINE:
                self.told = Told(status, now, cause)
            elif self.told.since == 0 and self.held_until() > now:
                # Who is idle when he first comes in is offline since then.
                self.told = Told(OFFLINE, now, "settings" if self.active + timeout <= set_at else "idle")
        elif self.held_until() == 0:
            self.told = Told(OFFLINE, now, cause)
        elif self.told.status != self.chosen:
            self.told = Told(self.chosen, now, cause)

    def is_unsure(self, now: int) -> bool:
        """Whether it is chance if a sweep has already taken away what stood for a worker that died."""
        return any(until <= now < until + NOTICED_MS for until in self.dying.values())

    def sign_out(self, now: int) -> None:
        """All his sessions end, those on workers that have died included."""
        self.refused |= {session for _, session in self.tabs}
        self.refused |= {session for session, until in self.dying.items() if now < until}
        self.tabs, self.forgiven, self.dying = {}, 0, {}

    def deadline(self, timeout: int, set_at: int) -> tuple[int, str]:
        """When he goes offline if nothing else happens, and why: the earlier deadline gives the reason."""
        idles_at = self.active + timeout
        if idles_at <= self.held_until():
            return idles_at, "settings" if idles_at <= set_at else "idle"
        return self.held_until(), "disconnected"

    def check(self, found: Told, now: int, timeout: int, set_at: int) -> None:
        """Compare what is told of him with the rule; a deadline that has come is noticed in time, and never early."""
        deadline, reason = self.deadline(timeout, set_at)
        self.dying = {session: until for session, until in self.dying.items() if now < until + NOTICED_MS}
        if self.told.status != OFFLINE and found.status == OFFLINE:
            assert deadline <= found.since <= now, f"Expected {self} until {deadline}, got {found}"
            self.told = Told(OFFLINE, found.since, reason)
        assert found == self.told, f"Expected {self}, got {found} at {now}"
        if found.status != OFFLINE:
            assert now < deadline + NOTICED_MS, f"Expected {self} to be offline since {deadline}, got {found} at {now}"
