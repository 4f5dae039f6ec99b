"""Section 2 of the contract in a few lines, to compare the store with: it knows nothing of how anything is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from presence_server.core.status import OFFLINE


class Told(NamedTuple):
    """What teammates were told of a user last."""

    status: str
    since: int
    reason: str


@dataclass
class Person:
    """A user, by section 2 of the contract.

    Attributes:
        open: by worker and session, until when the worker's word lasts, and how many connections it stands for.
        forgiven: until when each lost session is forgiven.
        refused: until when a session may not come back.
    """

    chosen: str = "online"
    active: int = 0
    told: Told = field(default_factory=lambda: Told(OFFLINE, 0, ""))
    open: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    forgiven: list[tuple[str, int]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    not_before: int = 0
    seen: bool = False

    def held_until(self) -> int:
        return max([until for until, _ in self.open.values()] + [until for _, until in self.forgiven], default=0)

    def status(self, now: int, timeout: int) -> str:
        """Rule 1."""
        return self.chosen if now < min(self.held_until(), self.active + timeout) else OFFLINE

    def look(self, now: int, timeout: int, set_at: int, cause: str | None = None) -> None:
        """Commit a change if there is one, and its reason (rules 1 and 8)."""
        status = self.status(now, timeout)
        arrives = self.told.since == 0 and self.held_until() > now
        if status == self.told.status and not arrives:
            return
        idles_at = self.active + timeout
        if status != OFFLINE:
            reason = cause or "settings"
        elif self.held_until() < idles_at:
            reason = "disconnected"
        else:
            reason = "settings" if idles_at <= set_at else "idle"
        self.told = Told(status, now, reason)
