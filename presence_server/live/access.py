"""What HTTP asks of presence: reads that see all that was acknowledged before, and writes acknowledged once done.

Nothing here needs a socket: a worker answers for teams it has nobody of.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, TypeVar

from presence_server import errors
from presence_server.core.roster import NO_MARK
from presence_server.core.status import OFFLINE, Presence, TeamView, UserDetail
from presence_server.live.team import Team
from presence_server.store.direct import NEVER
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.store import Store
from presence_server.store.types import Lost

T = TypeVar("T")

logger: Final = logging.getLogger(__name__)


class TeamAccess:
    """Reads and writes on behalf of HTTP callers (section 6 of the contract); who may what is the edge's to decide.

    Args:
        store: where teams are.
        teams: the teams this worker follows, whose rosters save reading.
        remember_ms: how long a session that is signed out of a team is refused there.
    """

    def __init__(self, store: Store, teams: Mapping[str, Team], remember_ms: int) -> None:
        self._store = store
        self._teams = teams
        self._remember_ms = remember_ms

    async def read_team(self, team: str, users: Sequence[str] | None) -> TeamView:
        """Read who is not offline; with `users`, what each of these is.

        Raises:
            errors.Unavailable: Redis is out of reach.
        """
        if users is not None:
            mark, _, details = await self._reach(self._store.details(team, users))
            found = {user: Presence(detail.status, detail.since, detail.reason) for user, detail in details.items()}
            return TeamView(mark.epoch, mark.version, found)
        return await self._reach(self._read_all(team))

    async def read_user(self, team: str, user: str) -> UserDetail:
        """Read all about one user.

        Raises:
            errors.Unavailable: Redis is out of reach.
        """
        _, _, details = await self._reach(self._store.details(team, [user]))
        return details[user]

    async def choose(self, team: str, user: str, status: str, *, by_admin: bool) -> None:
        """Set a user's chosen status.

        Raises:
            errors.Unavailable: Redis stayed out of reach.
        """
        await self._store.choose(team, user, status, by_admin=by_admin)

    async def sign_out_user(self, team: str, user: str, *, by_admin: bool) -> None:
        """Sign a user out of a team everywhere.

        Raises:
            errors.Unavailable: Redis stayed out of reach.
        """
        await self._store.sign_out(team, user, "", refuse_ms=self._remember_ms, by_admin=by_admin, patient=False)

    async def read_settings(self, team: str) -> int:
        """Read a team's idle timeout, milliseconds.

        Raises:
            errors.Unavailable: Redis is out of reach.
        """
        return (await self._reach(self._store.changes(team, NEVER))).idle_timeout_ms

    async def write_settings(self, team: str, idle_timeout_ms: int) -> None:
        """Set a team's idle timeout, and bring all its users into line with it.

        Raises:
            errors.Unavailable: Redis stayed out of reach.
        """
        await self._store.configure(team, idle_timeout_ms)
        cursor: int | None = 0
        while cursor is not None:
            cursor = await self._reach(self._store.settle(team, cursor))

    async def _read_all(self, team: str) -> TeamView:
        here = self._teams.get(team)
        roster = here.replica.roster if here is not None and here.replica.live else None
        known = NO_MARK if roster is None else roster.mark
        users: dict[str, Presence] = {}
        page = await self._store.changes(team, known.version)
        if roster is not None and page.mark.epoch == known.epoch and page.floor <= known.version and not page.more:
            # The roster, as it was when asked, and what the page adds: as good as all pages, for one.
            users = {user: entry.presence for user, entry in roster.visible()}
        elif known.version:
            page = await self._store.changes(team, 0)
        while True:
            for change in page.changes:
                users[change.user] = Presence(change.status, change.since, change.reason)
            if not page.more:
                break
            page = await self._store.changes(team, page.changes[-1].version)
        visible = {user: presence for user, presence in users.items() if presence.status != OFFLINE}
        return TeamView(page.mark.epoch, page.mark.version, visible)

    async def _reach(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except (OutOfReach, Lost) as exc:
            self._store.down(str(exc))
            raise errors.Unavailable("Expected Redis within reach, got no answer; try again") from exc
        except Refused as exc:
            logger.error("Redis refused: %s", exc)
            raise errors.Unavailable("Expected Redis to carry this out, got a refusal; see the server's log") from exc
