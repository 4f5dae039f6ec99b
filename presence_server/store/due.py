"""The index of due teams, in a slot of its own: which teams the sweep must look at, and when.

No script may touch the index and a team both, so the index is written first, possibly too early, and the team after it:
the other order would leave a ghost when the worker dies in between. A score once written usually stays in force until
it has come, which is why most of these writes can be left out. Where a sweep came in between and put the team off, the
team's script notices, and has the index told once more.
"""

from __future__ import annotations

from typing import Final

from presence_server.store.link import Command

# How far this worker's idea of Redis's clock may be off when it decides that a score lies in the future still.
MARGIN_MS: Final = 500


class DueIndex:
    """Remembers what this worker has written to the index, and says when that hardly suffices."""

    def __init__(self, key: str) -> None:
        self._key = f"{key}:teams"
        self._written: dict[str, int] = {}

    def entry(self, team: str, due_ms: int, now_ms: int) -> Command | None:
        """The command that makes the index look at `team` by `due_ms`, or None if it will anyway.

        Args:
            team: the team's id.
            due_ms: the earliest deadline that the coming script may set, by Redis's clock.
            now_ms: Redis's clock as far as known.
        """
        written = self._written.get(team)
        if written is not None and now_ms + MARGIN_MS < written <= due_ms:
            return None
        # An earlier score that may not have come yet stands in the way of this one, and is all that is sure.
        stands = due_ms if written is None or written <= now_ms - MARGIN_MS else written
        self._written[team] = min(stands, due_ms)
        return self.command(team, due_ms)

    def command(self, team: str, due_ms: int) -> Command:
        """The command that makes the index look at `team` by `due_ms`."""
        return ("ZADD", self._key, "LT", due_ms, team)

    def forget(self) -> None:
        """Redis may have lost what was written."""
        self._written.clear()

    def forget_past(self, now_ms: int) -> None:
        """Drop what is of no use any more."""
        self._written = {team: due_ms for team, due_ms in self._written.items() if due_ms > now_ms}
