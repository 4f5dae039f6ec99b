"""A crowd of sockets, in a process of its own: who is in which team, how they come and go, and what they ask for."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jwt
import orjson
from picows import ws_connect

from benchmark.members import Member, Samples

_HEARTBEAT: Final = b'{"type":"heartbeat","idle_ms":1200}'
_STEP_S: Final = 0.01
# Updates go on being waited for while any still arrives within this.
_QUIET_S: Final = 3.0
_ENTRY_S: Final = 180.0
_READ_BUFFER_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Shape:
    """What a crowd looks like.

    Attributes:
        urls: of the endpoints, taken in turn.
        secret: to sign tokens with.
        teams: the beginning of the teams' names.
        sockets: how many, each a user of its own.
        team_size: how many of them share a team.
        watched: how many users each one narrows its view to; 0 for the whole team.
        plain: speak to the plain endpoint instead.
        sampled: how many sockets read what they get.
    """

    urls: Sequence[str]
    secret: str
    teams: str
    sockets: int
    team_size: int
    watched: int
    plain: bool
    sampled: int = 20


class Entered(NamedTuple):
    """How long until the last view was complete, how many were so by which kind of message, and who failed."""

    wall_s: float
    snapshots: int
    deltas: int
    failures: list[str]


class Seen(NamedTuple):
    """What came of changes: how many; these times those who must be told; and, at the sampled sockets, updates that did
    not come, and milliseconds from asking to seeing."""

    changes: int
    deliveries: int
    missed: int
    latencies_ms: list[float]


class Crowd:
    """The sockets of one shape; at most one of each user at a time."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._samples = Samples()
        self._members: dict[int, Member] = {}
        self._leaving = False
        self._lost: Counter[int] = Counter()
        self._gone_one = asyncio.Event()
        everybody, dice = range(shape.sockets), random.Random(1)
        self._sampled = set(everybody[:: max(1, shape.sockets // shape.sampled)])
        self._tokens = [self._token(number) for number in everybody]
        self._busy = [False] * shape.sockets
        self._turns = itertools.cycle(dice.sample(everybody, shape.sockets))
        self._watch: list[list[int]] = []
        self._viewers: list[Collection[int]] = [self._mates(number) for number in everybody]
        if shape.watched:
            self._watch = [dice.sample(mates, min(shape.watched, len(mates))) for mates in map(self._mates, everybody)]
            viewers = [{number} for number in everybody]
            for number, watched in enumerate(self._watch):
                for seen in watched:
                    viewers[seen].add(number)
            self._viewers = [*viewers]

    # --- coming and going -------------------------------------------------------------------------------------------

    async def connect(self, per_s: float = 0, *, resume: bool = False, full: bool = False) -> Entered:
        """Connect everybody.

        Args:
            per_s: sockets per second; 0 for all at once.
            resume: say where the view stood before.
            full: have the plain endpoint check a token and answer with a snapshot.
        """
        hellos = [self._hello(number, resume=resume, full=full) for number in range(self._shape.sockets)]
        started_s = time.perf_counter()
        tasks = []
        for number, hello in enumerate(hellos):
            if per_s:
                await asyncio.sleep(max(0.0, started_s + number / per_s - time.perf_counter()))
            tasks.append(asyncio.create_task(self._enter(number, hello)))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        wall_s = time.perf_counter() - started_s
        failures = [repr(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
        return Entered(wall_s, outcomes.count("snapshot"), outcomes.count("delta"), failures)

    async def drop(self) -> dict[int, int]:
        """Let everybody be gone at once; returns how many were gone before, by close code, 0 for none."""
        self._leaving = True
        for member in list(self._members.values()):
            member.drop()
        while self._members:
            self._gone_one.clear()
            await self._gone_one.wait()
        self._leaving = False
        lost, self._lost = self._lost, Counter()
        return dict(lost)

    async def _enter(self, number: int, hello: bytes) -> str:
        member = self._members[number] = Member(number, self._samples if number in self._sampled else None, self._gone)
        url = self._shape.urls[number % len(self._shape.urls)]
        async with asyncio.timeout(_ENTRY_S):
            await ws_connect(
                lambda: member, url, read_buffer_init_size=_READ_BUFFER_BYTES, websocket_handshake_timeout=_ENTRY_S
            )
            member.send(hello)
            return await member.entered

    def _gone(self, member: Member, code: int) -> None:
        if self._members.get(member.number) is member:
            del self._members[member.number]
        if not self._leaving:
            self._lost[code] += 1
        self._gone_one.set()

    # --- what they ask for ------------------------------------------------------------------------------------------

    async def beat(self, per_s: float, seconds: float) -> int:
        """Send heartbeats with input, evenly over all sockets; returns how many."""
        members = list(self._members.values())
        sent = 0
        started_s = time.perf_counter()
        while (elapsed_s := time.perf_counter() - started_s) < seconds:
            while sent < elapsed_s * per_s:
                members[sent % len(members)].send(_HEARTBEAT)
                sent += 1
            await asyncio.sleep(_STEP_S)
        return sent

    async def change(self, per_s: float, count: int) -> Seen:
        """Let one user after another change his status, and wait until all sampled sockets have seen it."""
        samples = self._samples
        samples.restart()
        expected = deliveries = 0
        started_s = time.perf_counter()
        for index in range(count):
            await asyncio.sleep(max(0.0, started_s + index / per_s - time.perf_counter()))
            number = next(turn for turn in self._turns if turn in self._members)
            self._busy[number] = not self._busy[number]
            status = "busy" if self._busy[number] else "online"
            samples.stamps[f"u{number}"] = (status, time.perf_counter())
            self._members[number].send(b'{"type":"set_status","id":1,"status":"%b"}' % status.encode())
            expected += sum(sampled in self._viewers[number] for sampled in self._sampled)
            deliveries += len(self._viewers[number])
        seen, since_s = 0, time.perf_counter()
        while samples.updates < expected and time.perf_counter() - since_s < _QUIET_S:
            await asyncio.sleep(_STEP_S)
            if samples.updates != seen:
                seen, since_s = samples.updates, time.perf_counter()
        return Seen(count, deliveries, expected - samples.updates, samples.latencies_ms)

    # --- who is who -------------------------------------------------------------------------------------------------

    def _team(self, number: int) -> str:
        return f"{self._shape.teams}{number // self._shape.team_size}"

    def _mates(self, number: int) -> range:
        first = number // self._shape.team_size * self._shape.team_size
        return range(first, min(first + self._shape.team_size, self._shape.sockets))

    def _token(self, number: int) -> str:
        claims = {"sub": f"u{number}", "teams": [self._team(number)], "sid": f"s{number}", "exp": time.time() + 86_400}
        return jwt.encode(claims, self._shape.secret, "HS256")

    def _hello(self, number: int, *, resume: bool, full: bool) -> bytes:
        team = self._team(number)
        hello: dict[str, Any] = {"type": "hello", "token": self._tokens[number], "idle_ms": 0}
        if self._shape.plain:
            hello = {"type": "hello", "user": f"u{number}", "team": team}
            if full:
                hello |= {"token": self._tokens[number], "snapshot": self._shape.team_size}
        if resume and team in self._samples.position:
            epoch, version = self._samples.position[team]
            hello["resume"] = {team: {"epoch": epoch, "version": version}}
        if self._shape.watched:
            hello["watch"] = {team: [f"u{other}" for other in self._watch[number]]}
        return orjson.dumps(hello)
