"""Where a worker is on record: it is before it writes to a team, so that its burial finds every team it was in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from presence_server.store.caller import Caller
from presence_server.store.lease import Lease
from presence_server.store.operations import enlist


class Record:
    """This worker's entry in the index, kept in step by numbers like a team's.

    Args:
        caller: makes commands.
        lease: the worker's.

    Attributes:
        teams: for which the index has acknowledged this worker, under its present name.
    """

    def __init__(self, caller: Caller, lease: Lease) -> None:
        self._caller = caller
        self._lease = lease
        self._one_by_one = asyncio.Lock()
        self.teams: set[str] = set()

    async def add(self, teams: Sequence[str]) -> bool:
        """Be on record for teams; whether it is now, under this name.

        Raises:
            OutOfReach: Redis is.
        """
        return await self._tell(teams, ())

    async def remove(self, teams: Sequence[str]) -> bool:
        """Be on record for teams no more; whether that is so now, under this name.

        Raises:
            OutOfReach: Redis is.
        """
        return await self._tell((), teams)

    async def tell_anew(self) -> bool:
        """The index has lost something: tell it everything.

        Raises:
            OutOfReach: Redis is.
        """
        return await self._tell((), (), whole=True)

    def renamed(self) -> None:
        """The worker goes on under another name."""
        self.teams.clear()

    async def _tell(self, added: Sequence[str], removed: Sequence[str], *, whole: bool = False) -> bool:
        async with self._one_by_one:
            if whole and not self._lease.lasts:
                # It may be the beat itself that asks, and nothing but a beat can confirm; the next one asks again.
                return False
            await self._lease.confirmed()
            name = self._lease.name
            if not whole and await self._send(name, added, removed):
                return True
            if name != self._lease.name or not self._lease.lasts:
                return False
            # It does not have the change before this one.
            return await self._tell_everything(name, list(self.teams.difference(removed).union(added)), removed)

    async def _tell_everything(self, name: str, everything: Sequence[str], removed: Sequence[str]) -> bool:
        told = False
        try:
            for at in range(0, max(1, len(everything)), enlist.AT_ONCE):
                if not await self._send(name, everything[at : at + enlist.AT_ONCE], (), whole=at == 0):
                    return False
            told = True
        finally:
            if not told and name == self._lease.name:
                # Half a record is none: by a number that the index does not have, the next beat finds that out.
                self._lease.recorded = self._lease.number()
        self.teams.difference_update(removed)
        return True

    async def _send(self, name: str, added: Sequence[str], removed: Sequence[str], *, whole: bool = False) -> bool:
        number = self._lease.number()
        change = enlist.Enlist(name, self._lease.recorded, number, whole, added, removed)
        command = self._caller.index_command(enlist.NAME, enlist.encode(change))
        verdict = (await self._caller.link.execute([command]))[0]
        if name != self._lease.name:
            return False
        if verdict == b"dead":
            # The next beat will tell.
            self._lease.doubted()
        if verdict != b"ok":
            return False
        self._lease.recorded = number
        self.teams.update(added)
        self.teams.difference_update(removed)
        return True
