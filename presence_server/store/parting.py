"""Leaving teams: a worker says in each that nobody of it is there any more, then is on record for it no more."""

from __future__ import annotations

from collections.abc import Sequence

from presence_server.store.caller import Caller
from presence_server.store.lane import Lane
from presence_server.store.lease import Lease
from presence_server.store.operations import part
from presence_server.store.record import Record
from presence_server.store.requests import Requests


class Parting:
    """Leaves teams.

    Args:
        caller: makes commands.
        lease, record: the worker's.
        requests: whose lanes end with it.
    """

    def __init__(self, caller: Caller, lease: Lease, record: Record, requests: Requests) -> None:
        self._caller = caller
        self._lease = lease
        self._record = record
        self._requests = requests

    async def leave(self, teams: Sequence[str]) -> list[str]:
        """Leave teams; returns those it is out of.

        The others have something to do, or stand elsewhere than this worker knows: these are told everything anew, and
        to be asked again later.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        strangers = [team for team in teams if self._requests.get(team) is None]
        lanes = [lane for team in teams if (lane := self._requests.get(team)) is not None and self._is_quiet(lane)]
        for lane in lanes:
            lane.held_up = True
        try:
            name = self._lease.name
            said = await self._say(lanes)
            if said and (not await self._record.remove([lane.team for lane in said]) or name != self._lease.name):
                said = []
            for lane in said:
                lane.last = 0
                if not lane.busy:
                    self._requests.forget(lane.team)
        finally:
            for lane in lanes:
                if self._requests.get(lane.team) is lane:
                    self._requests.release(lane)
        return [lane.team for lane in said] + strangers

    def _is_quiet(self, lane: Lane) -> bool:
        return not lane.busy and not lane.held_up and self._lease.lasts

    async def _say(self, lanes: Sequence[Lane]) -> list[Lane]:
        lease, written = self._lease, [lane for lane in lanes if lane.last]
        commands = []
        for lane in written:
            mark = self._caller.port.known(lane.team)
            words = part.Part(lease.name, lease.until_ms, lane.last, lease.number(), mark)
            commands.append(self._caller.command(part.NAME, lane.team, part.encode(words)))
        verdicts = await self._caller.link.execute_each(commands) if commands else []
        said = [lane for lane in lanes if not lane.last]
        for lane, verdict in zip(written, verdicts, strict=True):
            if isinstance(verdict, list) and verdict[0] == b"ok":
                said.append(lane)
            else:
                lane.stale = True
        return said
