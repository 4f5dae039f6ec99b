"""All partitions of a worker: which one a team lies in, and where sign-outs are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from presence_server.live.partition import Partition
from presence_server.store.hold import Hold
from presence_server.store.link import OutOfReach
from presence_server.store.slots import number_of

# A shard that has just been lost is not known to be: where another can tell, it is not waited for.
_OTHER_S: Final = 0.25
# After so long without an answer, whoever is within reach by then is asked.
_AGAIN_S: Final = 1.0


class Partitions:
    """The partitions, by team.

    A session that has signed out for good is remembered in one of them, and where there are several in a second one far
    from it: so that who may come in can be told while a shard is lost.
    """

    def __init__(self) -> None:
        self._all: list[Partition] = []

    def settle_in(self, partitions: Iterable[Partition]) -> None:
        """They are there now; each knows the worker's parts that know all of them."""
        self._all = list(partitions)

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def of(self, team: str) -> Partition:
        """The partition that a team lies in."""
        return self._all[number_of(team, len(self._all))]

    def is_well(self, name: str) -> bool:
        """Whether a team that is followed is neither out of reach nor refused."""
        partition = self.of(name)
        team = partition.teams.get(name)
        return partition.live and team is not None and not team.stale

    @property
    def live(self) -> bool:
        """Whether anything is within reach."""
        return any(partition.live for partition in self._all)

    @property
    def out_of_reach(self) -> bool:
        """Whether all there is is out of reach: said once, and not by team. Of several, each tells its own teams."""
        return len(self._all) == 1 and not self._all[0].live

    @property
    def lapses(self) -> int:
        """How often a lease of this worker has lapsed."""
        return sum(partition.store.lease.lapses for partition in self._all)

    def now_ms(self) -> int:
        """Redis's clock, as far as known."""
        return self._open().store.now_ms()

    def let_go(self, hold: Hold) -> None:
        """Connections of a hold ended, or its session did: bring it into line, whenever Redis can."""
        self.of(hold.team).store.let_go(hold)

    def tell_workers(self, message: Any) -> asyncio.Future[Any]:
        """Publish on the channel that every worker listens to; any partition reaches all of them."""
        return self._open().store.tell_workers(message)

    async def flush(self) -> None:
        """Wait until nothing waits to be sent or answered."""
        await asyncio.gather(*[partition.store.flush() for partition in self._all])

    # --- sign-outs ----------------------------------------------------------------------------------------------------

    def refuse_session(self, user: str, session: str) -> None:
        """Refuse a session everywhere from now on."""
        for home in self._homes(user):
            home.store.refuse_session(user, session)

    async def is_signed_out(self, user: str, session: str) -> bool:
        """Tell whether a session is signed out for good; waits until somebody who knows is within reach."""
        homes = self._homes(user)
        while True:
            within_reach = [home for home in homes if home.store.open] or homes
            asked = [home.store.is_signed_out(user, session) for home in within_reach]
            try:
                found, others = await asyncio.wait(asked, timeout=_AGAIN_S, return_when=asyncio.FIRST_COMPLETED)
                if found and others and not any(each.result() for each in found):
                    found |= (await asyncio.wait(others, timeout=_OTHER_S))[0]
                if found:
                    return any(each.result() for each in found)
            finally:
                for each in asked:
                    each.cancel()

    async def signed_out(self, sessions: Sequence[tuple[str, str]]) -> list[bool]:
        """Tell of each user and session whether it is signed out for good, past whatever waits.

        Raises:
            OutOfReach: Redis is.
        """
        found = dict.fromkeys(sessions, False)
        asked: dict[Partition, list[tuple[str, str]]] = {}
        for key in found:
            for home in self._homes(key[0]):
                asked.setdefault(home, []).append(key)
        replies = await asyncio.gather(
            *[home.store.reads.signed_out(keys) for home, keys in asked.items()], return_exceptions=True
        )
        for keys, reply in zip(asked.values(), replies, strict=True):
            if isinstance(reply, BaseException):
                # With a second home somewhere else, one that is lost keeps nobody from being brought back.
                if len(self._all) == 1 or not isinstance(reply, OutOfReach):
                    raise reply
                continue
            for key, is_out in zip(keys, reply, strict=True):
                found[key] = found[key] or is_out
        return [found[key] for key in sessions]

    def _homes(self, user: str) -> list[Partition]:
        count = len(self._all)
        first = number_of(user, count)
        return [self._all[number] for number in dict.fromkeys((first, (first + count // 2) % count))]

    def _open(self) -> Partition:
        return next((partition for partition in self._all if partition.store.open), self._all[0])
