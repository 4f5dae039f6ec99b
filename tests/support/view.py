"""A team as a correct browser client keeps it, and what it may rightly object to. No I/O."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

STATUSES = frozenset({"online", "busy", "offline"})
REASONS = frozenset(
    {"signed_in", "active", "chosen", "idle", "disconnected", "signed_out", "forced", "settings"},
)

Message = dict[str, Any]


class Violation(AssertionError):
    """The server sent what the contract forbids."""


class Doubled(Violation):
    """The same change, twice."""


class Reordered(Violation):
    """A message or change after a newer one."""


class Told(NamedTuple):
    """One user's status as one message told it; `since` and `reason` are None for who is absent from a snapshot."""

    user: str
    status: str
    since: int | None
    reason: str | None
    version: int
    at_ms: int
    by: str


@dataclass
class TeamView:
    """What one connection knows of one team.

    Attributes:
        users: who is not offline.
        known: everyone that was ever told of in this epoch, the offline ones included.
        told: all that was told, in order.
        complete: a snapshot's last message has come.
    """

    team: str
    epoch: str | None = None
    version: int = -1
    users: dict[str, Told] = field(default_factory=dict)
    known: dict[str, Told] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    complete: bool = False
    chosen: str | None = None
    idle_timeout_ms: int | None = None
    _may_continue: bool = False
    _arriving: dict[str, Told] | None = None

    def continued(self) -> TeamView:
        """The view that the next connection resumes with."""
        view = copy.deepcopy(self)
        view.complete, view._may_continue, view._arriving = False, True, None
        view.told = []
        return view

    @classmethod
    def resuming(cls, team: str, epoch: str, version: int) -> TeamView:
        """An empty view that claims to be at `version`: what a client with a made-up `resume` has."""
        return cls(team, epoch=epoch, version=version, _may_continue=True)

    def resume_point(self) -> Message:
        """What `resume` of hello says of this team."""
        return {"epoch": self.epoch, "version": self.version}

    def statuses(self) -> dict[str, str]:
        return {user: told.status for user, told in self.users.items()}

    def status_of(self, user: str) -> str:
        told = self.users.get(user)
        return told.status if told else "offline"

    def history(self, user: str) -> list[str]:
        """The statuses that were told of `user`, in order."""
        return [told.status for told in self.told if told.user == user]

    def apply_self(self, message: Message) -> None:
        _check_fields(message, {"team": str, "chosen": str, "idle_timeout_ms": int})
        if message["chosen"] not in ("online", "busy"):
            raise Violation(f"Expected a choice of 'online' or 'busy', got {message}")
        self.chosen, self.idle_timeout_ms = message["chosen"], message["idle_timeout_ms"]

    def apply_snapshot(self, message: Message, at_ms: int) -> None:
        """Replace the view, or add the next part of a snapshot that comes in several messages."""
        entries = self._entries(message, at_ms, "snapshot")
        epoch, version = message["epoch"], message["version"]
        if self._arriving is not None:
            if (epoch, version) != (self.epoch, self.version):
                raise Violation(f"Expected the rest of snapshot {self.epoch}/{self.version}, got {epoch}/{version}")
            if twice := self._arriving.keys() & entries.keys():
                raise Violation(f"Expected each user once in a snapshot, got {sorted(twice)} in two of its messages")
        else:
            if epoch == self.epoch and version < self.version:
                raise Reordered(f"Expected a snapshot at version {self.version} or higher, got {version}")
            self._arriving = {}
        if offline := [user for user, told in entries.items() if told.status == "offline"]:
            raise Violation(f"Expected nobody offline in a snapshot, got {offline}")
        if epoch != self.epoch:
            self.known = {}
        self.epoch, self.version, self._may_continue = epoch, version, False
        self._arriving |= entries
        # Who was shown like that before is no news.
        self.told += [told for user, told in entries.items() if self.status_of(user) != told.status]
        if message.get("more"):
            return
        for user in self.users.keys() - self._arriving.keys():
            self.told.append(Told(user, "offline", None, None, version, at_ms, "snapshot"))
        self.users, self._arriving, self.complete = self._arriving, None, True
        self.known |= self.users

    def apply_delta(self, message: Message, at_ms: int) -> None:
        """Take over who changed; each entry must be news."""
        entries = self._entries(message, at_ms, "delta")
        epoch, version = message["epoch"], message["version"]
        if self._arriving is not None or not (self.complete or self._may_continue):
            raise Violation(f"Expected a complete snapshot of {self.team} before its first delta, got {message}")
        if epoch != self.epoch:
            raise Violation(f"Expected a new epoch to begin with a snapshot, got a delta from {self.epoch} to {epoch}")
        if version < self.version or (version == self.version and (entries or not self._may_continue)):
            raise Reordered(f"Expected a version above {self.version}, got {message}")
        if not entries and not self._may_continue:
            raise Violation(f"Expected no message without a change, got {message}")
        for user, told in entries.items():
            before = self.known.get(user)
            if before and before[1:4] == told[1:4]:
                raise Doubled(f"Expected each change to be told once, got {told} again")
            if before and (before.since or 0) > (told.since or 0):
                raise Reordered(f"Expected changes in their order, got {told} after {before}")
        self.version, self._may_continue, self.complete = version, False, True
        self.known |= entries
        self.told += entries.values()
        self.users |= entries
        self.users = {user: told for user, told in self.users.items() if told.status != "offline"}

    def _entries(self, message: Message, at_ms: int, by: str) -> dict[str, Told]:
        _check_fields(message, {"team": str, "epoch": str, "version": int, "users": dict})
        entries = {}
        for user, entry in message["users"].items():
            _check_fields(entry, {"status": str, "since": int, "reason": str})
            if entry["status"] not in STATUSES or entry["reason"] not in REASONS:
                raise Violation(f"Expected a known status and reason of {user}, got {entry}")
            entries[user] = Told(user, entry["status"], entry["since"], entry["reason"], message["version"], at_ms, by)
        return entries


def _check_fields(message: Message, types: dict[str, type]) -> None:
    for name, expected in types.items():
        if not isinstance(message.get(name), expected):
            raise Violation(f"Expected {name!r} to be of type {expected.__name__}, got {message}")
