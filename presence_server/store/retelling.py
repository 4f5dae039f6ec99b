"""Telling a team everything anew, after it lost something or the worker goes on under another name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from presence_server.store.calls import BULK, Call, Entry, HoldCall, SingleCall, Waiting
from presence_server.store.hold import Hold
from presence_server.store.lane import Lane
from presence_server.store.lease import Lease
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.operations import drop, hold
from presence_server.store.requests import Requests
from presence_server.store.types import Reply

_AGAIN_S: Final = 0.1


class Members(Protocol):
    """Who is in teams on this worker."""

    def holds_of(self, team: str) -> list[Hold]:
        """Every hold in a team, those under way included."""


class Retelling:
    """Brings lanes back into step with their teams.

    Args:
        requests: sends.
        lease: the worker's.
        members: whose holds these are.
        check_sessions: ends holds whose session has been signed out everywhere meanwhile.
        write_back: writes a team's roster back, which Redis has lost.
    """

    def __init__(
        self,
        requests: Requests,
        lease: Lease,
        members: Members,
        *,
        check_sessions: Callable[[Sequence[Hold]], Awaitable[None]],
        write_back: Callable[[str], Awaitable[None]],
    ) -> None:
        self._requests = requests
        self._lease = lease
        self._members = members
        self._check_sessions = check_sessions
        self._write_back = write_back

    async def retell(self, lane: Lane) -> None:
        """Tell everything of a team, then let go of whatever else stands there under this worker's name."""
        try:
            while not await self._retell_once(lane) or lane.stale:
                lane.stale = False
        finally:
            lane.restating = False
            self._requests.ready(lane)

    async def bring_back(self, lane: Lane) -> None:
        """Write a lost team's roster back, then tell it everything."""
        try:
            await self._write_back(lane.team)
        except (OutOfReach, Refused) as exc:
            self._requests.down(str(exc))
        finally:
            lane.stale = True
            self._requests.release(lane)

    async def _retell_once(self, lane: Lane) -> bool:
        name = self._lease.name
        holds = [each for each in self._members.holds_of(lane.team) if not each.gone]
        await self._ask_first(holds)
        holds = [each for each in holds if not each.gone]
        first, was_here = 0, False
        for at in range(0, max(1, len(holds)), BULK):
            call = HoldCall(restating=True)
            call.entries.update((each, Entry(each)) for each in holds[at : at + BULK])
            reply = await self._carry_out(lane, call)
            if name != self._lease.name:
                return False
            if not first:
                first, was_here = call.number, hold.decode(reply.results).was_here
        while was_here:
            reply = await self._carry_out(lane, SingleCall(drop.NAME, drop.Drop(first), once=False, restating=True))
            if name != self._lease.name:
                return False
            was_here = reply.results[0] == 1
        return True

    async def _ask_first(self, holds: Sequence[Hold]) -> None:
        """Nobody who has signed out is brought back, however long this worker was cut off."""
        while True:
            try:
                await self._check_sessions(holds)
                return
            except (OutOfReach, Refused) as exc:
                self._requests.down(str(exc))
                await asyncio.sleep(_AGAIN_S)

    async def _carry_out(self, lane: Lane, call: Call) -> Reply:
        done = call.done = Waiting(None)
        lane.first.append(call)
        self._requests.ready(lane)
        reply: Reply = await done.future
        return reply
