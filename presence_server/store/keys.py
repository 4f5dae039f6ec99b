"""Names of keys and channels: one hash tag per team, one for each user's signed-out sessions, one for the index."""

from __future__ import annotations

from presence_server.store.slots import WHOLE, Partition, partitions


class Keys:
    """Builds every key and channel name from the prefix; ids hold no braces, so tags cannot be forged.

    Args:
        prefix: the first part of every name.
        database: the number of the database. Channels carry it, since they belong to the server and not to a database:
            two databases of one Redis hear nothing of each other.
        partition: whose index this is; `WHOLE` where there is one for all teams.
    """

    def __init__(self, prefix: str, database: int, partition: Partition = WHOLE) -> None:
        self._prefix = prefix
        self._skip = len(prefix) + 2
        self._whole = partition.of == 1
        self.feed_suffix = feed_suffix(database)
        self.due = f"{prefix}:{{{partition.tag}}}"
        self.control = f"{prefix}:control:{database}"

    def team(self, team: str) -> str:
        """The base of all keys of a team: `<prefix>:{<team>}`."""
        return f"{self._prefix}:{{{team}}}"

    def mark(self, team: str) -> str:
        """The key of where a team stands and who is there."""
        return f"{self._prefix}:{{{team}}}:mark"

    def active(self, team: str) -> str:
        """The key of the last inputs of those who are visible."""
        return f"{self._prefix}:{{{team}}}:active"

    def ends(self, team: str) -> str:
        """The key of all other deadlines."""
        return f"{self._prefix}:{{{team}}}:ends"

    def feed(self, team: str) -> str:
        """The channel on which a team's changes are published."""
        return f"{self._prefix}:{{{team}}}{self.feed_suffix}"

    def team_of_feed(self, channel: str) -> str:
        """The team whose feed a channel is."""
        return channel[self._skip : -len(self.feed_suffix) - 1]

    def probe(self, tag: str, name: str) -> str:
        """The channel by which a worker looks whether what it subscribed to at one node still comes."""
        return f"{self._prefix}:{{{tag}}}:probe:{name}"

    def signed_out(self, user: str, session: str) -> str:
        """The key that stands while a session is signed out for good: in a slot of its own, or with the index."""
        if self._whole:
            return f"{self._prefix}:{{{user}}}:signed-out:{session}"
        return f"{self.due}:signed-out:{user}/{session}"


def feed_suffix(database: int) -> str:
    """What makes a team's base its channel."""
    return f":feed:{database}"


def keys_of_partitions(prefix: str, database: int, count: int) -> list[Keys]:
    """The names of keys of each partition, where there are so many."""
    return [Keys(prefix, database, partition) for partition in partitions(count)]
