"""A partition: some of all teams, with an index, a lease, a beat and troubles of their own.

On a single Redis there is one. What one of them goes through, the others do not notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from presence_server.core.roster import Mark
from presence_server.live.audit import Audit
from presence_server.live.counters import Counters
from presence_server.live.heart import Heart, Rhythm
from presence_server.live.inputs import Inputs
from presence_server.live.members import Members
from presence_server.live.recovery import Recovery
from presence_server.live.spawn import Spawn
from presence_server.live.sweeper import Sweeper
from presence_server.live.team import Surroundings
from presence_server.live.teams import Teams
from presence_server.settings import Settings
from presence_server.store.backend import Backend, Ears
from presence_server.store.hold import Hold
from presence_server.store.keys import Keys
from presence_server.store.link import OutOfReach, Refused
from presence_server.store.scripts import RETAIN_MS
from presence_server.store.store import Store
from presence_server.store.types import Reply

# How often teams that nobody needs any more are left.
_CLOSING_S: Final = 1.0

logger: Final = logging.getLogger(__name__)


class Host(Protocol):
    """The worker whose partition it is."""

    def live_changed(self, partition: Partition) -> None:
        """A partition's statuses have become fresh, or may be stale."""

    def reach_changed(self, why: str) -> None:
        """Redis is within a partition's reach, or is not and why."""

    def hear_control(self, message: dict[str, Any]) -> None:
        """A message to all workers has come."""

    def signed_out(self, sessions: Sequence[tuple[str, str]]) -> Awaitable[list[bool]]:
        """Tell of each user and session whether it is signed out for good."""


class Shared(NamedTuple):
    """What all partitions of a worker share."""

    settings: Settings
    backend: Backend
    members: Members
    counters: Counters
    spawn: Spawn
    rhythm: Rhythm
    say: Callable[[int, str], None]
    clock: Callable[[], float]


class Partition:
    """One partition of a worker.

    Args:
        shared: what all of them share.
        keys: names of keys.
        host: whose it is.

    Attributes:
        store: all of Redis that it needs.
        teams: those of its teams that the worker follows.
        inputs: takes note of input.
        live: whether statuses are fresh: Redis is within reach and every roster up to date.
    """

    def __init__(self, shared: Shared, keys: Keys, host: Host) -> None:
        settings, backend, spawn = shared.settings, shared.backend, shared.spawn
        self.live = False
        self._host = host
        self._members = shared.members
        self._spawn = spawn
        self._lease_s = settings.lease_ttl_ms / 1000
        self.store = Store(settings, backend.link(keys), backend.scripts, keys, self, spawn.part, clock=shared.clock)
        ears = Ears(self._hear, self._lost, host.hear_control, self._feed_down)
        self._feed = backend.subscription(keys, self.store.lease.name, ears)
        self.teams = Teams(self._feed, spawn.part, shared.clock)
        self.inputs = Inputs(self.store, shared.members, self.teams, shared.clock)
        alone = len(backend.keys) == 1
        self.teams.settle_in(Surroundings(self.store, shared.members, self.inputs, shared.counters, settings, alone))
        self._sweeper = Sweeper(self.store, shared.counters)
        self._audit = Audit(self.store, self.teams, self._lease_s / 3)
        self._heart = Heart(
            self.store,
            room=self._sweeper.room,
            on_due=self._sweeper.take,
            on_jump=self.inputs.tell_all,
            on_other_data=lambda: self._recovery.needed("Redis came back without its data"),
            on_look=self._audit.soon,
            rhythm=shared.rhythm,
            say=shared.say,
        )
        self._recovery = Recovery(
            self.store, self._feed, self._heart, self.teams, self._audit, self._tell_live, shared.say, shared.clock
        )
        self._closed_s = self._probed_s = self._pruned_s = shared.clock()
        self._closing: asyncio.Task[None] | None = None

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work; Redis need not be there yet."""
        for part in (
            self._heart.run(),
            self.store.run(),
            self._recovery.run(),
            self._sweeper.run(),
            self._audit.run(),
            self.inputs.run(),
        ):
            self._spawn.part(part)

    def tick(self, now_s: float) -> None:
        """See to what must be seen to every now and then; to be called twice a second."""
        self.store.housekeep()
        if self.store.open and now_s - self._closed_s >= _CLOSING_S and (self._closing is None or self._closing.done()):
            self._closed_s = now_s
            self._closing = self._spawn.part(self._close_empty_teams())
        if self.live and now_s - self._probed_s >= self._lease_s / 6:
            self._probed_s = now_s
            self._spawn.part(self._feed.probe())
        if now_s - self._pruned_s >= RETAIN_MS / 12_000:
            self._pruned_s = now_s
            before_ms = self.store.now_ms() - RETAIN_MS
            for team in self.teams:
                team.replica.roster.forget_offline(before_ms)

    async def stop(self) -> None:
        """Close what is open; its tasks have ended."""
        for team in self.teams:
            team.close()
        await self._feed.close()

    async def _close_empty_teams(self) -> None:
        try:
            await self.teams.close_empty()
        except (OutOfReach, Refused) as exc:
            self.store.down(str(exc))

    def _tell_live(self, live: bool, why: str) -> None:
        self.teams.set_live(live)
        if live:
            self.inputs.tell_now()
        changed, self.live = live != self.live, live
        self._host.reach_changed(why)
        if changed:
            self._host.live_changed(self)

    # --- what the store asks and tells ------------------------------------------------------------------------------

    def known(self, team: str) -> Mark:
        """The mark of a team's roster; `NO_MARK` for none."""
        return self.teams.known(team)

    def observe(self, team: str, reply: Reply, known: Mark) -> None:
        """A reply has come, to a call that was sent when `known` was known."""
        self.teams.observe(team, reply, known)

    def holds_of(self, team: str) -> list[Hold]:
        """Every hold in a team, those under way included."""
        return self._members.holds_of(team)

    def refused(self, hold: Hold) -> None:
        """A hold may not stand: its session was signed out of the team."""
        self._members.refuse(hold)

    def session_ended(self, user: str, session: str) -> None:
        """A session was signed out for good, as was found when it was to be brought back."""
        self._members.end_session(user, session)

    async def signed_out(self, sessions: Sequence[tuple[str, str]]) -> list[bool]:
        """Tell of each user and session whether it is signed out for good."""
        return await self._host.signed_out(sessions)

    async def write_back(self, team: str) -> None:
        """Redis has lost a team: write its roster back."""
        await self.teams.write_back(team)

    def out_of_reach(self, why: str) -> None:
        """Redis went out of reach."""
        self._recovery.needed(why)

    def team_stale(self, team: str, stale: bool) -> None:
        """Redis refuses to write to a team, or does not any more."""
        found = self.teams.get(team)
        if found is not None:
            found.set_refused(stale)

    # --- what is heard ----------------------------------------------------------------------------------------------

    def _hear(self, team: str, raw: bytes) -> None:
        self.teams.hear(team, raw)

    def _lost(self, team: str) -> None:
        self.teams.lost(team)

    def _feed_down(self, why: str) -> None:
        self._recovery.needed(why)
