"""What is read of teams: at once, past whatever waits to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from presence_server.store.caller import Caller
from presence_server.store.lease import Lease
from presence_server.store.link import Refused
from presence_server.store.operations import changes, details
from presence_server.store.types import Page, Standing

# A version that no team reaches: reading what changed after it reads nothing but where the team stands.
NEVER: Final = 2**53

Suspect = Callable[[str, Standing], None]


class Server(NamedTuple):
    """A process of Redis.

    Attributes:
        run_id: another one after a restart, and after a failover; empty where it does not say.
        uptime_s: how long it has been running.
    """

    run_id: str
    uptime_s: int


class Reads:
    """Reads of teams.

    Args:
        caller: makes commands.
        lease: the worker's.
        suspect: is shown where each team stands that was read: somebody may be there who is not alive.
    """

    def __init__(self, caller: Caller, lease: Lease, suspect: Suspect) -> None:
        self._caller = caller
        self._lease = lease
        self._suspect = suspect

    async def changes(self, team: str, since: int) -> Page:
        """Read one page of what changed after a version; 0 reads everybody.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        command = self._caller.command(changes.NAME, team, (since, changes.AT_ONCE))
        page = changes.decode((await self._caller.link.execute([command]))[0], self._lease.name)
        self._suspect(team, page.standing)
        return page

    async def details(self, team: str, users: Sequence[str]) -> details.Details:
        """Read all about some users.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        parts = [users[at : at + details.AT_ONCE] for at in range(0, max(1, len(users)), details.AT_ONCE)]
        replies = await self._caller.link.execute([self._caller.command(details.NAME, team, part) for part in parts])
        found = [details.decode(raw, part) for raw, part in zip(replies, parts, strict=True)]
        self._suspect(team, found[0].standing)
        # The first part's standing: what the others may know beyond it does no harm.
        return found[0]._replace(users=[user for part in found for user in part.users])

    async def marks(self, teams: Sequence[str]) -> list[bytes | Refused | None]:
        """Read the marks of teams, as they are stored: one plain command for many, where they may be on one node.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        return await self._caller.link.get_each([self._caller.keys.mark(team) for team in teams])

    async def signed_out(self, sessions: Iterable[tuple[str, str]]) -> list[bool]:
        """Tell of each user and session whether it is signed out for good.

        Raises:
            OutOfReach: Redis is.
        """
        commands = [("EXISTS", self._caller.keys.signed_out(user, session)) for user, session in sessions]
        return [reply == 1 for reply in await self._caller.link.execute(commands)] if commands else []

    async def server(self) -> Server:
        """Which server it is that answers.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        info: bytes = (await self._caller.link.execute([("INFO", "server")]))[0]
        found = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
        return Server(found.get(b"run_id", b"").decode(), int(found[b"uptime_in_seconds"]))
