"""All of Redis that the rest of the worker sees: requests that wait their turn, reads, sweeps, repairs, the beat."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import orjson

from presence_server.core.roster import Mark
from presence_server.settings import Settings
from presence_server.store.answers import Answers
from presence_server.store.caller import Caller, Port
from presence_server.store.calls import Entry, SingleCall, Waiting
from presence_server.store.hold import Hold
from presence_server.store.keys import Keys
from presence_server.store.lane import PATIENCE_S
from presence_server.store.lease import Lease
from presence_server.store.link import Executor
from presence_server.store.operations import configure, sign_out
from presence_server.store.parting import Parting
from presence_server.store.reads import Reads
from presence_server.store.record import Record
from presence_server.store.repairs import Repairs
from presence_server.store.requests import Requests
from presence_server.store.retelling import Members, Retelling
from presence_server.store.scripts import Scripts
from presence_server.store.sweeps import Sweeps
from presence_server.store.types import Reply
from presence_server.store.vigil import Vigil


class Owner(Port, Members, Protocol):
    """Whose store it is."""

    def refused(self, hold: Hold) -> None:
        """A hold may not stand: its session was signed out of the team."""

    def session_ended(self, user: str, session: str) -> None:
        """A session was signed out for good, as was found when it was to be brought back."""

    async def signed_out(self, sessions: Sequence[tuple[str, str]]) -> list[bool]:
        """Tell of each user and session whether it is signed out for good."""

    async def write_back(self, team: str) -> None:
        """Redis has lost a team: write its roster back."""

    def out_of_reach(self, why: str) -> None:
        """Redis went out of reach; nothing that waits is sent until `resume`."""

    def team_stale(self, team: str, stale: bool) -> None:
        """Redis refuses to write to a team, or does not any more."""


class Store:
    """All operations of one worker on the teams of one partition.

    Args:
        settings: leases, grace and timeouts.
        link: runs commands.
        scripts: those that commands name.
        keys: names of keys.
        owner: whose it is.
        spawn: starts a task.
        name: the first name of its lease; random by default.
        clock: a monotonic clock, seconds.

    Attributes:
        lease: this worker's.
        link: to Redis.
        vigil: the beat.
        reads, sweeps, repairs: operations that go past what waits.
    """

    def __init__(
        self,
        settings: Settings,
        link: Executor,
        scripts: Scripts,
        keys: Keys,
        owner: Owner,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        *,
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self.keys = keys
        self.link = link
        self._caller = Caller(link, scripts, keys, settings, owner, clock)
        self.lease = Lease(self._caller.now_ms, name)
        self._record = Record(self._caller, self.lease)
        answers = Answers(
            self._caller,
            self.lease,
            on_lost=lambda lane: spawn(self._retelling.bring_back(lane)),
            on_refused=owner.refused,
            on_team=lambda team, well: owner.team_stale(team, not well),
        )
        self._requests = Requests(
            self._caller,
            self.lease,
            self._record,
            answers,
            on_down=owner.out_of_reach,
            on_stale=lambda lane: spawn(self._retelling.retell(lane)),
        )
        self._retelling = Retelling(
            self._requests, self.lease, owner, check_sessions=self._check_sessions, write_back=owner.write_back
        )
        self._parting = Parting(self._caller, self.lease, self._record, self._requests)
        self.vigil = Vigil(self._caller, self.lease, self._lapse)
        self.reads = Reads(self._caller, self.lease, self.vigil.look_at)
        self.sweeps = Sweeps(self._caller)
        self.repairs = Repairs(self._caller)

    # --- requests, batched ------------------------------------------------------------------------------------------

    def tell(self, hold: Hold) -> asyncio.Future[tuple[Mark, str | None]]:
        """Bring a hold in; gives the team's mark and the chosen status, None when refused (section 4)."""
        waiting = self._waiting()
        self._requests.lane(hold.team).tell(hold, waiting)
        return waiting.future

    def let_go(self, hold: Hold) -> None:
        """Connections of a hold ended, or its session did: bring it into line, whenever Redis can (rules 6 and 7)."""
        if hold.sent or not hold.gone:
            self._requests.lane(hold.team).tell(hold, None)

    def choose(self, team: str, user: str, status: str, by: str) -> asyncio.Future[Reply]:
        """Set a chosen status (rules 2, 3 and 5); `by` is who chose, anybody but himself an administrator."""
        waiting = self._waiting()
        self._requests.lane(team).choose(user, status, self._caller.clock(), by, waiting)
        return waiting.future

    def sign_out(
        self, team: str, user: str, session: str, *, refuse_ms: int, by: str = "", patient: bool = True
    ) -> asyncio.Future[Reply]:
        """End a session in a team, or with an empty `session` all of the user's, and refuse it for `refuse_ms`."""
        order = sign_out.SignOut(user, session, refuse_ms, by)
        # Ending one session twice is ending it; ending all of them would end who has signed in since.
        return self._single(team, SingleCall(sign_out.NAME, order, once=not session), patient=patient)

    def configure(self, team: str, idle_timeout_ms: int, grace_ms: int) -> asyncio.Future[Reply]:
        """Set a team's own settings; see `operations.configure` for what keeps them, and the defaults."""
        values = configure.Settings(idle_timeout_ms, grace_ms)
        return self._single(team, SingleCall(configure.NAME, values, once=True), patient=False)

    def refuse_session(self, user: str, session: str) -> asyncio.Future[Any]:
        """Refuse a session everywhere from now on."""
        key = self.keys.signed_out(user, session)
        return self._requests.send_first(("SET", key, "1", "PX", self._settings.remember_ms))

    def is_signed_out(self, user: str, session: str) -> asyncio.Future[int]:
        """Tell whether a session is signed out for good: 1 or 0."""
        return self._requests.send_first(("EXISTS", self.keys.signed_out(user, session)))

    def tell_workers(self, message: Any) -> asyncio.Future[Any]:
        """Publish on the channel that every worker listens to."""
        return self._requests.send_first(("PUBLISH", self.keys.control, orjson.dumps(message)))

    def _waiting(self) -> Waiting:
        return Waiting(self._caller.clock() + PATIENCE_S)

    def _single(self, team: str, call: SingleCall, *, patient: bool) -> asyncio.Future[Any]:
        entry = call.entries[None] = Entry(None)
        waiting = Waiting(None) if patient else self._waiting()
        entry.waiting.append(waiting)
        self._requests.lane(team).add(call)
        return waiting.future

    # --- running ----------------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether requests are being sent; False while Redis is out of reach."""
        return self._requests.open

    @property
    def changes_published(self) -> int:
        """How many changes this worker's calls have made."""
        return self._caller.changes_published

    async def run(self) -> None:
        """Send what is asked for, until cancelled."""
        await self._requests.run()

    def resume(self) -> None:
        """Redis is back, and all that must come first has been done."""
        self._requests.resume()

    def down(self, why: str) -> None:
        """Redis is out of reach."""
        self._requests.down(why)

    def housekeep(self) -> None:
        """Answer what has waited too long, and forget what is of no use any more; to be called twice a second."""
        self._requests.housekeep()

    async def flush(self) -> None:
        """Wait until nothing waits to be sent or answered; for ever while Redis is out of reach."""
        await self._requests.flush()

    def now_ms(self) -> int:
        """Redis's clock, as far as known."""
        return self._caller.now_ms()

    def retell(self, team: str) -> None:
        """Tell a team everything anew."""
        self._requests.make_stale(team)

    # --- this worker among others -----------------------------------------------------------------------------------

    async def record_anew(self) -> None:
        """The index has lost something: tell it where this worker is.

        Raises:
            OutOfReach: Redis is.
        """
        await self._record.tell_anew()

    def teams(self) -> set[str]:
        """The teams that have a lane."""
        return self._requests.teams()

    def acknowledged(self, team: str) -> int:
        """The number of the last write that a team has acknowledged; 0 for none."""
        lane = self._requests.get(team)
        return 0 if lane is None else lane.last

    async def leave(self, teams: Sequence[str]) -> list[str]:
        """Be in teams no more; returns those it is out of.

        Raises:
            OutOfReach: Redis is.
            Refused: Redis would not do it.
        """
        return await self._parting.leave(teams)

    def _lapse(self) -> None:
        """The index does not know this worker any more: it goes on under another name, and tells everything anew."""
        self.lease.rename()
        self._record.renamed()
        self._requests.renamed()

    async def _check_sessions(self, holds: Sequence[Hold]) -> None:
        sessions = list(dict.fromkeys(hold.key for hold in holds if not hold.session.startswith("~")))
        for (user, session), is_out in zip(sessions, await self._owner.signed_out(sessions), strict=True):
            if is_out:
                self._owner.session_ended(user, session)
