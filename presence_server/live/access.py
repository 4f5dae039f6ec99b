"""What HTTP asks of presence: reads that see all that was acknowledged before, and writes acknowledged once done.

Nothing here needs a socket: a worker answers for teams it has nobody of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Final, NamedTuple, TypeVar

from presence_server import errors
from presence_server.core.roster import NO_MARK
from presence_server.core.status import OFFLINE, Presence, TeamView, UserDetail
from presence_server.live.partitions import Partitions
from presence_server.store.lane import PATIENCE_S
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.operations import configure
from presence_server.store.reads import NEVER
from presence_server.store.store import Store

# How long workers have to tell what input they know of before a team's timeout changes.
_TOLD_S: Final = 0.25

T = TypeVar("T")

logger: Final = logging.getLogger(__name__)


class TeamSettings(NamedTuple):
    """What holds in a team: its own settings, or the defaults.

    Attributes:
        idle_timeout_ms: rule 1.
        grace_ms: rule 6.
    """

    idle_timeout_ms: int
    grace_ms: int


class TeamAccess:
    """Reads and writes on behalf of HTTP callers (section 6 of the contract); who may what is the edge's to decide.

    Args:
        partitions: where teams are; the rosters of those that this worker follows save reading.
        remember_ms: how long a session that is signed out of a team is refused there.
    """

    def __init__(self, partitions: Partitions, remember_ms: int) -> None:
        self._partitions = partitions
        self._remember_ms = remember_ms

    async def read_team(self, team: str, users: Sequence[str] | None) -> TeamView:
        """Read who is not offline; with `users`, what each of these is.

        Raises:
            errors.Unavailable: Redis is out of reach.
        """
        if users is not None:
            details = await self._reach(team, self._store(team).reads.details(team, users))
            found = {each.user: Presence(each.status, each.since, each.reason) for each in details.users}
            mark = details.standing.mark
            return TeamView(mark.epoch, mark.version, found)
        return await self._reach(team, self._read_all(team))

    async def read_user(self, team: str, user: str) -> UserDetail:
        """Read all about one user.

        Raises:
            errors.Unavailable: Redis is out of reach.
        """
        return (await self._reach(team, self._store(team).reads.details(team, [user]))).users[0]

    async def choose(self, team: str, user: str, status: str, *, by: str) -> None:
        """Set a user's chosen status; `by` is who asks for it, anybody but himself an administrator.

        Raises:
            errors.Unavailable: Redis stayed out of reach.
        """
        await self._store(team).choose(team, user, status, by)

    async def sign_out_user(self, team: str, user: str, *, by: str) -> None:
        """Sign a user out of a team everywhere; `by` is who asks for it, anybody but himself an administrator.

        Raises:
            errors.Unavailable: Redis stayed out of reach.
        """
        await self._store(team).sign_out(team, user, "", refuse_ms=self._remember_ms, by=by, patient=False)

    async def read_settings(self, team: str) -> TeamSettings:
        """Read a team's settings.

        Raises:
            errors.Unavailable: Redis is out of reach.
        """
        page = await self._reach(team, self._store(team).reads.changes(team, NEVER))
        return TeamSettings(page.idle_timeout_ms, page.grace_ms)

    async def write_settings(
        self,
        team: str,
        *,
        idle_timeout_ms: int = configure.KEEP_IDLE,
        grace_ms: int = configure.KEEP_GRACE,
    ) -> TeamSettings:
        """Set a team's own settings, and bring all its users into line with them; returns what holds then.

        Raises:
            errors.Unavailable: Redis stayed out of reach.
        """
        if idle_timeout_ms != configure.KEEP_IDLE:
            # Nobody is to look idle by the new timeout for input that was not owed to Redis by the old one.
            await self._ask_for_inputs(team)
        reply = await self._store(team).configure(team, idle_timeout_ms, grace_ms)
        cursor = 0
        while True:
            cursor = await self._reach(team, self._store(team).repairs.realign(team, cursor))
            if not cursor:
                return TeamSettings(reply.idle_timeout_ms, reply.grace_ms)

    async def _ask_for_inputs(self, team: str) -> None:
        asked = self._partitions.tell_workers({"inputs": team})
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asked
        except TimeoutError:
            raise errors.Unavailable("Expected Redis within reach, got no answer in time; try again") from None
        await asyncio.sleep(_TOLD_S)

    async def _read_all(self, team: str) -> TeamView:
        here = self._partitions.of(team).teams.get(team)
        roster = here.replica.roster if here is not None and here.replica.live else None
        known = NO_MARK if roster is None else roster.mark
        users: dict[str, Presence] = {}
        reads = self._store(team).reads
        page = await reads.changes(team, known.version)
        continued = page.standing.mark.epoch == known.epoch and page.standing.floor <= known.version
        if roster is not None and continued and not page.more:
            # The roster, as it was when asked, and what the page adds: as good as all pages, for one.
            users = {user: entry.presence for user, entry in roster.visible()}
        elif known.version:
            page = await reads.changes(team, 0)
        while True:
            for change in page.changes:
                users[change.user] = Presence(change.status, change.since, change.reason)
            if not page.more:
                break
            page = await reads.changes(team, page.changes[-1].version)
        visible = {user: presence for user, presence in users.items() if presence.status != OFFLINE}
        return TeamView(page.standing.mark.epoch, page.standing.mark.version, visible)

    def _store(self, team: str) -> Store:
        return self._partitions.of(team).store

    async def _reach(self, team: str, work: Awaitable[T]) -> T:
        try:
            return await work
        except OutOfReach as exc:
            self._store(team).down(str(exc))
            raise errors.Unavailable("Expected Redis within reach, got no answer; try again") from exc
        except Refused as exc:
            logger.error("Redis refused: %s", exc)
            raise errors.Unavailable("Expected Redis to carry this out, got a refusal; see the server's log") from exc
