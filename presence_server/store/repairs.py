"""What brings a team right again: its roster written back, another epoch, its users brought into line, input told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from presence_server.core.roster import Entry
from presence_server.store.caller import Caller
from presence_server.store.calls import BULK
from presence_server.store.operations import new_epoch, realign, restore, touch
from presence_server.store.types import Reply


class Repairs:
    """Repairs of teams.

    Args:
        caller: makes commands.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def restore(
        self,
        team: str,
        users: Sequence[tuple[str, Entry]],
        seen_version: int,
        *,
        idle_timeout_ms: int,
        grace_ms: int,
    ) -> Reply:
        """Write a part of a roster back into a Redis that lost it.

        Raises:
            OutOfReach: Redis is.
        """
        settings = self._caller.settings
        idle_ms = 0 if idle_timeout_ms == settings.idle_timeout_ms else idle_timeout_ms
        own_grace_ms = -1 if grace_ms == settings.disconnect_grace_ms else grace_ms
        part = restore.Restore(self._caller.word(), seen_version, idle_ms, own_grace_ms, users)
        due_ms = self._caller.now_ms()
        return await self._caller.call(restore.NAME, team, restore.encode(part), due_ms=due_ms)

    async def new_epoch(self, team: str, wanting: str, seen_version: int) -> Reply:
        """Replace an epoch whose history has forked from what this worker has seen.

        Raises:
            OutOfReach: Redis is.
        """
        return await self._caller.call(
            new_epoch.NAME, team, new_epoch.NewEpoch(self._caller.word(), wanting, seen_version)
        )

    async def realign(self, team: str, cursor: int) -> int:
        """Bring some users into line after the settings changed; returns where to go on, 0 at the end.

        Raises:
            OutOfReach: Redis is.
        """
        part = realign.Realign(self._caller.word(), cursor, self._caller.gaps)
        reply = await self._caller.call(realign.NAME, team, realign.encode(part), due_ms=self._caller.now_ms())
        return int(reply.results[0])

    async def touch(self, team: str, inputs: Iterable[tuple[str, float]]) -> None:
        """Tell input of users who may be offline by now.

        Args:
            team: their team.
            inputs: users, and instants by the monotonic clock.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        told = [touch.Input(user, self._caller.instant_ms(at_s)) for user, at_s in inputs]
        due_ms = self._caller.now_ms() + self._caller.settings.idle_timeout_ms
        for at in range(0, len(told), BULK):
            part = touch.encode(self._caller.word(), told[at : at + BULK])
            await self._caller.call(touch.NAME, team, part, due_ms=due_ms)

    async def tell_input(self, inputs: Iterable[tuple[str, Sequence[tuple[str, float]]]]) -> list[str]:
        """Tell input of users who are visible, by one plain command a team; returns the teams where some are not.

        Args:
            inputs: by team, users and instants by the monotonic clock.

        Raises:
            OutOfReach: Redis is.
        """
        teams = list(inputs)
        commands = [
            (
                "ZADD",
                self._caller.keys.active(team),
                "XX",
                "GT",
                "CH",
                *(part for user, at_s in told for part in (self._caller.instant_ms(at_s), user)),
            )
            for team, told in teams
        ]
        replies = await self._caller.link.execute_each(commands) if commands else []
        return [team for (team, told), changed in zip(teams, replies, strict=True) if changed != len(told)]
