"""Connections on their way into teams: in at once where Redis answers, and later where it does not yet.

A team that is out of reach, or that Redis refuses, keeps nobody out of his others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from presence_server import errors
from presence_server.core import messages
from presence_server.core.codes import CloseCode
from presence_server.core.connection import State
from presence_server.core.messages import Position
from presence_server.live.connection import Connection, Membership
from presence_server.live.members import Members
from presence_server.live.partition import Partition
from presence_server.live.partitions import Partitions
from presence_server.live.spawn import Spawn
from presence_server.live.team import Team

# While somebody waits, how often it is looked at whether what he waits for is in trouble.
_LOOK_S: Final = 0.25

logger: Final = logging.getLogger(__name__)


class Arrival:
    """One connection on its way into one team.

    Attributes:
        membership: what stands for it.
        team: which.
        partition: in which the team lies.
        task: gives the chosen status once the team has been told and its roster shows it; None when it was refused.
        failure: why the team could not be told, when last tried.
    """

    __slots__ = ("failure", "membership", "partition", "task", "team")

    task: asyncio.Task[str | None]

    def __init__(self, membership: Membership, team: Team, partition: Partition) -> None:
        self.membership = membership
        self.team = team
        self.partition = partition
        self.failure: errors.Unavailable | None = None

    @property
    def chosen(self) -> str | None:
        """The chosen status of who has arrived; None of who was refused, or is not there yet."""
        if not self.task.done() or self.task.cancelled() or self.membership.hold.ended:
            return None
        return self.task.result()

    @property
    def under_way(self) -> bool:
        """Whether it is not decided yet."""
        return not self.task.done()

    @property
    def in_trouble(self) -> bool:
        """Whether it may take long."""
        return self.failure is not None or self.team.stale or not self.partition.live


class Arrivals:
    """Brings connections into teams.

    Args:
        partitions: where teams are.
        members: the connections.
        spawn: starts tasks.
    """

    def __init__(self, partitions: Partitions, members: Members, spawn: Spawn) -> None:
        self._partitions = partitions
        self._members = members
        self._spawn = spawn

    async def join(
        self,
        connection: Connection,
        teams: Sequence[str],
        active_s: float,
        issued_at_s: float,
        added: list[Membership] | None = None,
        *,
        kept: Sequence[str] = (),
    ) -> list[Arrival]:
        """Join teams, and wait until their rosters contain all that was acknowledged anywhere before.

        Those in trouble are waited for no longer than for the others, unless there are no others.

        Args:
            connection: whose `memberships` these become.
            teams: which.
            active_s: the last input, by the monotonic clock.
            issued_at_s: the token's `iat`.
            added: gets the memberships as they are made, for whoever takes them back should this fail.
            kept: teams that the connection is in, and stays in: for it there are others as long as one of them is well.

        Raises:
            errors.Unavailable: Redis refuses all of them.
        """
        if connection.state is State.CLOSED:
            # It ended while its token or session was looked up: nobody would give back what is opened now.
            return []
        arrivals: list[Arrival] = []
        try:
            for name in teams:
                partition = self._partitions.of(name)
                team = partition.teams.use(name)
                # From here on whatever ends the connection gives it back.
                membership = self._members.join(connection, team, name, active_s, issued_at_s)
                arrivals.append(self._start(connection, Arrival(membership, team, partition)))
                if added is not None:
                    added.append(membership)
            await self._decided(arrivals, kept)
        except BaseException:
            for arrival in arrivals:
                arrival.task.cancel()
            raise
        finally:
            for arrival in arrivals:
                arrival.team.pending -= 1
        return [arrival for arrival in arrivals if arrival.under_way or arrival.chosen is not None]

    def enter(self, connection: Connection, arrivals: Iterable[Arrival], resume: Mapping[str, Position]) -> None:
        """Let those in who have arrived, and the others as soon as they have."""
        for arrival in arrivals:
            team = arrival.team
            position = resume.get(team.name)
            if not arrival.under_way:
                team.add(connection, arrival.chosen or "", position)
                continue
            connection.teams += (team.name,)
            connection.send(messages.feed(live=False, team=team.name))
            team.pending += 1
            arrival.task.add_done_callback(partial(self._late, connection, arrival, position))

    async def _decided(self, arrivals: Sequence[Arrival], kept: Sequence[str]) -> None:
        """Wait until all have arrived or were refused, or only those in trouble are left, and are not all there is."""
        while under_way := [arrival for arrival in arrivals if arrival.under_way]:
            await asyncio.wait([arrival.task for arrival in under_way], timeout=_LOOK_S)
            under_way = [arrival for arrival in arrivals if arrival.under_way]
            if len(under_way) < len(arrivals) or any(map(self._partitions.is_well, kept)):
                if all(arrival.in_trouble for arrival in under_way):
                    return
            elif all(arrival.failure is not None for arrival in under_way):
                failure = under_way[0].failure
                assert failure is not None
                raise failure

    def _start(self, connection: Connection, arrival: Arrival) -> Arrival:
        work = _arrive(connection, arrival)
        arrival.task = self._spawn.work(work, lambda failure: self._failed(connection, failure))
        arrival.membership.arriving = arrival.task
        return arrival

    def _late(
        self, connection: Connection, arrival: Arrival, position: Position | None, task: asyncio.Task[str | None]
    ) -> None:
        team = arrival.team
        team.pending -= 1
        chosen = None if task.cancelled() or task.exception() is not None else arrival.chosen
        if chosen is not None and connection.state is State.OPEN and arrival.membership in connection.memberships:
            team.add(connection, chosen, position)
            if not team.stale:
                connection.send(messages.feed(live=True, team=team.name))

    def _failed(self, connection: Connection, failure: BaseException) -> None:
        logger.error("A connection could not be brought into a team, it is closed", exc_info=failure)
        self._members.end(connection, CloseCode.INTERNAL_ERROR, CloseCode.INTERNAL_ERROR.reason)


async def _arrive(connection: Connection, arrival: Arrival) -> str | None:
    hold = arrival.membership.hold
    try:
        while True:
            try:
                mark, chosen = await arrival.partition.store.tell(hold)
                break
            except errors.Unavailable as exc:
                arrival.failure = exc
                if arrival.membership not in connection.memberships:
                    return None
        if chosen is not None and not hold.ended:
            await arrival.team.replica.caught_up(mark)
        return None if hold.ended else chosen
    finally:
        # A task that has ended would stay as long as the connection, with all that it saw: a kilobyte.
        arrival.membership.arriving = None
