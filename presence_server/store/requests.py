"""Requests on their way to Redis: batched by loop turn and team, in order by team, waiting while Redis is out of reach.

Every write to a team carries (worker, until, number before, number). So a team does each exactly once and in order, or
says what it lacks: `behind`, and it is told everything anew; `lost`, and the roster is written back first; `late`, and
the worker waits until the index has said that it lives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from presence_server.core.roster import NO_MARK, Mark
from presence_server.store.answers import Answers
from presence_server.store.caller import Caller
from presence_server.store.calls import Call
from presence_server.store.hold import Hold
from presence_server.store.lane import Lane
from presence_server.store.lease import Lease
from presence_server.store.link import Command, OutOfReach, Refused
from presence_server.store.operations import choose, configure, enlist, sign_out
from presence_server.store.pace import Pace
from presence_server.store.record import Record

# Operations in one pipeline: enough to be cheap, few enough that their replies, and all who wake up on them, do not
# keep the loop for long.
PIPELINE: Final = 100

logger: Final = logging.getLogger(__name__)


class Requests:
    """All lanes, and the one that sends.

    Args:
        caller: makes commands.
        lease, record: the worker's.
        answers: takes in what teams answer.
        on_down: is told once when Redis went out of reach.
        on_stale: is given a lane that must be told everything anew.

    Attributes:
        open: whether requests are being sent; False while Redis is out of reach.
    """

    def __init__(
        self,
        caller: Caller,
        lease: Lease,
        record: Record,
        answers: Answers,
        *,
        on_down: Callable[[str], None],
        on_stale: Callable[[Lane], object],
    ) -> None:
        self._caller = caller
        self._lease = lease
        self._record = record
        self._on_down = on_down
        self._on_stale = on_stale
        self._answers = answers
        self._pace = Pace(caller.clock)
        caller.tell_index = self.send_first
        self._lanes: dict[str, Lane] = {}
        self._ready: dict[Lane, None] = {}
        # Those that have something to do, and cannot do it now.
        self._held: dict[Lane, None] = {}
        self._first: list[tuple[Command, asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.open = False

    # --- what is asked for ------------------------------------------------------------------------------------------

    def lane(self, team: str) -> Lane:
        """The lane of a team, made if need be, for adding to it."""
        lane = self._lanes.get(team)
        if lane is None:
            lane = self._lanes[team] = Lane(team)
        self.ready(lane)
        return lane

    def get(self, team: str) -> Lane | None:
        """The lane of a team, if there is one."""
        return self._lanes.get(team)

    def teams(self) -> set[str]:
        """The teams that have a lane."""
        return set(self._lanes)

    def ready(self, lane: Lane) -> None:
        """There may be something to send on a lane."""
        self._held.pop(lane, None)
        self._ready[lane] = None
        self._wake.set()
        self._idle.clear()

    def send_first(self, command: Command) -> asyncio.Future[Any]:
        """Send a command that belongs to no team's lane, with the next pipeline; None when Redis refuses it."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._first.append((command, future))
        self._wake.set()
        self._idle.clear()
        return future

    def make_stale(self, team: str) -> None:
        """Tell a team everything anew."""
        lane = self.lane(team)
        lane.stale = True

    def renamed(self) -> None:
        """The worker goes on under another name: every team that has somebody of it is told everything anew."""
        for lane in self._lanes.values():
            lane.last, lane.stale = 0, True
            self.ready(lane)

    def release(self, lane: Lane) -> None:
        """A lane that was held up may go on."""
        lane.held_up = False
        self.ready(lane)

    def forget(self, team: str) -> None:
        """The worker is in a team no more."""
        lane = self._lanes.pop(team)
        self._ready.pop(lane, None)
        self._held.pop(lane, None)

    # --- sending ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is asked for, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            # The rest of this loop turn's requests come in before the batch is cut.
            await asyncio.sleep(0)
            while self.open and (self._ready or self._first):
                await self._pace.wait(full=max(len(self._ready), len(self._first)) >= PIPELINE)
                try:
                    await self._send_some()
                except (OutOfReach, Refused) as exc:
                    self.down(str(exc))
            if not (self._ready or self._first or self._held):
                self._idle.set()

    def resume(self) -> None:
        """Redis is back, and all that must come first has been done: send what has waited."""
        self.open = True
        self._wake.set()

    def down(self, why: str) -> None:
        """Stop sending: Redis is out of reach."""
        if self.open:
            self.open = False
            self._caller.due.forget()
            self._on_down(why)

    def housekeep(self) -> None:
        """Answer what has waited too long, and forget what is of no use any more."""
        now_s = self._caller.clock()
        for lane in [*self._ready, *self._held]:
            lane.expire(now_s)
            self._ready[lane] = None
        self._held.clear()
        if self._ready:
            self._wake.set()
        wanted = [(command, future) for command, future in self._first if not future.cancelled()]
        if len(wanted) < len(self._first):
            self._first = wanted
            self._wake.set()
        self._caller.due.forget_past(self._caller.now_ms())

    async def flush(self) -> None:
        """Wait until nothing waits to be sent or answered; for ever while Redis is out of reach."""
        await self._idle.wait()

    async def _send_some(self) -> None:
        lanes, unknown = self._gather()
        if unknown:
            for lane in [*unknown, *(lane for lane, _ in lanes)]:
                self._ready[lane] = None
            await self._record.add([lane.team for lane in unknown])
        elif lanes and not self._lease.lasts:
            for lane, _ in lanes:
                self._ready[lane] = None
            if self._first:
                await self._exchange([])
            await self._lease.confirmed()
        elif lanes or self._first:
            await self._exchange(lanes)

    def _gather(self) -> tuple[list[tuple[Lane, Call]], list[Lane]]:
        """The next call of each lane that has one, as many as a pipeline carries; and lanes not on record yet."""
        now_s = self._caller.clock()
        lanes: list[tuple[Lane, Call]] = []
        unknown: list[Lane] = []
        operations = 0
        while self._ready and operations < PIPELINE and len(unknown) < enlist.AT_ONCE:
            lane = next(iter(self._ready))
            del self._ready[lane]
            if lane.stale and not lane.restating and not lane.held_up:
                lane.restating, lane.stale = True, False
                self._on_stale(lane)
            call = lane.head(now_s)
            if call is None:
                if lane.busy:
                    self._held[lane] = None
            elif lane.team not in self._record.teams:
                unknown.append(lane)
            elif self._prepare(lane, call):
                lanes.append((lane, call))
                operations += max(1, len(call.entries))
        return lanes, unknown

    def _prepare(self, lane: Lane, call: Call) -> bool:
        if call.number and call.holder != self._lease.name and not call.unsure:
            call.forget_number()
        if call.prepare(self._caller.instant_ms):
            if not call.number:
                call.number, call.before, call.holder = self._lease.number(), lane.last, self._lease.name
            return True
        lane.answered()
        self._ready[lane] = None
        return False

    async def _exchange(self, lanes: list[tuple[Lane, Call]]) -> None:
        first, self._first = self._first[:PIPELINE], self._first[PIPELINE:]
        commands: list[Command] = [command for command, _ in first]
        places: list[int] = []
        marks: list[Mark] = []
        for lane, call in lanes:
            if (entry := self._caller.due.entry(lane.team, self._due_ms(call), self._caller.now_ms())) is not None:
                commands.append(entry)
            places.append(len(commands))
            marks.append(self._caller.port.known(lane.team))
            commands.append(self._command(lane, call, marks[-1]))
        try:
            replies = await self._caller.link.execute_each(commands)
        except BaseException:
            self._first = first + self._first
            for lane, call in lanes:
                call.unsure = True
                self._ready[lane] = None
            raise
        for (_, future), found in zip(first, replies, strict=False):
            if isinstance(found, Refused):
                logger.error("Redis refused: %s", found)
            if not future.done():
                future.set_result(None if isinstance(found, Refused) else found)
        for (lane, call), place, mark in zip(lanes, places, marks, strict=True):
            self._ready[lane] = None
            self._answers.take(lane, call, replies[place], mark)

    def _command(self, lane: Lane, call: Call, known: Mark) -> Command:
        # Under a name that is dead nothing may be done any more; whether it had been done before, its number tells.
        until_ms = self._lease.until_ms if call.holder == self._lease.name else 0
        guard = (call.holder, until_ms, int(known != NO_MARK), call.before, call.number, int(call.restating))
        return self._caller.command(call.name, lane.team, (*guard, self._caller.word(), *call.arguments))

    def _due_ms(self, call: Call) -> int:
        """The earliest deadline that a call may set, as far as can be told before it is made."""
        settings = self._caller.settings
        if call.name in (configure.NAME, sign_out.NAME):
            return self._caller.now_ms()
        if call.name == choose.NAME or not any(isinstance(each, Hold) and each.gone for each in call.entries):
            return self._caller.now_ms() + settings.idle_timeout_ms
        return self._caller.now_ms() + settings.disconnect_grace_ms
