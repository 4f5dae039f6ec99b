"""Names of keys: one hash tag per team, one for each user's signed-out sessions, one for the index of due teams."""

from __future__ import annotations


class Keys:
    """Builds every key and channel name from the prefix; ids hold no braces, so tags cannot be forged."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.due = f"{prefix}:{{due}}"
        self.control = f"{prefix}:control"
        self._skip = len(prefix) + 2

    def team(self, team: str) -> str:
        """The base of all keys of a team: `<prefix>:{<team>}`."""
        return f"{self._prefix}:{{{team}}}"

    def feed(self, team: str) -> str:
        """The channel on which a team's changes are published."""
        return f"{self._prefix}:{{{team}}}:feed"

    def team_of_feed(self, channel: str) -> str:
        """The team whose feed a channel is."""
        return channel[self._skip : -len("}:feed")]

    def signed_out(self, user: str, session: str) -> str:
        """The key that stands while a session is signed out for good."""
        return f"{self._prefix}:{{{user}}}:signed-out:{session}"
