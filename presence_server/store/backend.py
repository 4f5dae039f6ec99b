"""What there is on the other side: the connections that all partitions of a worker share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from presence_server.store.keys import Keys
from presence_server.store.link import Executor
from presence_server.store.scripts import Scripts


class Ears(NamedTuple):
    """Who hears what a subscription brings.

    Attributes:
        on_update: is given a team and a message of its channel.
        on_lost: is given a team whose channel, alone of the others, is not followed any more; `subscribe` does it anew.
        on_control: is given a message of the workers' channel.
        on_down: is called when the subscription broke; `connect` makes a new one.
    """

    on_update: Callable[[str, bytes], None]
    on_lost: Callable[[str], None]
    on_control: Callable[[Any], None]
    on_down: Callable[[str], None]


class Subscription(Protocol):
    """The channels of a partition's teams, and that of the workers."""

    async def connect(self) -> None:
        """Subscribe anew to all channels and wait until every one of them is confirmed.

        Raises:
            OutOfReach: Redis is.
        """

    async def subscribe(self, team: str) -> None:
        """Subscribe to a team and wait for the confirmation; what is published from then on arrives.

        Raises:
            OutOfReach: Redis is; the team stays wanted, and `connect` includes it.
            Refused: this team's channel cannot be had now.
        """

    async def unsubscribe(self, team: str) -> None:
        """Stop following a team; a broken subscription is no reason to fail."""

    async def probe(self) -> None:
        """Publish a word and see that it comes back; a subscription that stays silent is reported as broken."""

    async def close(self) -> None:
        """End the subscription."""


class Backend(Protocol):
    """One Redis, or a cluster of them.

    Attributes:
        scripts: what commands may name.
        keys: the names of keys of each partition that teams lie in here.
        calls: how many commands were sent.
        failures: how many pipelines failed.
    """

    scripts: Scripts
    keys: Sequence[Keys]

    @property
    def calls(self) -> int: ...
    @property
    def failures(self) -> int: ...

    def link(self, keys: Keys) -> Executor:
        """Runs the commands of a partition."""

    def subscription(self, keys: Keys, name: str, ears: Ears) -> Subscription:
        """Follows the teams of a partition; `name` is the worker's, by which it knows its own probes."""

    async def watch(self, on_moved: Callable[[str], None]) -> None:
        """Look every now and then whether Redis is where it was, until cancelled; else tell why not."""

    async def close(self) -> None:
        """Close all connections."""
