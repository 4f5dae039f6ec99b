"""A crowd of sockets in the load generator: who is in which team, how they come and go, and what they ask for."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from picows import ws_connect

from benchmark.members import Member, SampledMember, Samples, Tally
from presence_server.web.auth import mint

_HEARTBEAT: Final = b'{"type":"heartbeat","idle_ms":1200}'
_STEP_S: Final = 0.01
# Sending goes on being waited for while anything still arrives within this.
_QUIET_S: Final = 3.0
_ENTRY_S: Final = 180.0


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
        sampled: how many sockets read what they get.
        plain: speak to the plain endpoint instead.
    """

    urls: list[str]
    secret: str
    teams: str
    sockets: int
    team_size: int
    watched: int = 0
    sampled: int = 20
    plain: bool = False


class Crowd:
    """The sockets of one shape; at most one of each user at a time."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._random = random.Random(1)
        self._tally = Tally()
        self._samples = Samples()
        self._members: dict[int, Member] = {}
        self._leaving = False
        self._lost: Counter[int] = Counter()
        self._alone = asyncio.Event()
        self._alone.set()
        step = max(1, shape.sockets // shape.sampled)
        self._sampled = set(range(0, shape.sockets, step))
        self._watch = [self._watch_list(number) for number in range(shape.sockets)]
        self._tokens = [
            mint(shape.secret, user=f"u{number}", teams=[self._team(number)], session=f"s{number}")
            for number in range(shape.sockets)
        ]
        self._receivers, self._readers = self._audiences()
        self._statuses = ["online"] * shape.sockets
        self._turns = self._shuffled()

    # --- coming and going -------------------------------------------------------------------------------------------

    async def connect(self, per_s: float, *, resume: bool, full: bool) -> dict[str, Any]:
        """Connect everybody, at a pace or, with 0, all at once.

        Args:
            per_s: sockets per second.
            resume: say where the view stood before.
            full: have the plain endpoint check a token and answer with a snapshot.

        Returns:
            wall_s: until the last view was complete; kinds: how many by snapshot and by delta; failed: how many not.
        """
        started_s = time.perf_counter()
        tasks = []
        for number in range(self._shape.sockets):
            if per_s:
                await asyncio.sleep(max(0.0, started_s + number / per_s - time.perf_counter()))
            tasks.append(asyncio.create_task(self._enter(number, self._hello(number, resume=resume, full=full))))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        wall_s = time.perf_counter() - started_s
        failures = [repr(outcome) for outcome in outcomes if isinstance(outcome, BaseException)]
        kinds = Counter(outcome for outcome in outcomes if isinstance(outcome, str))
        return {"wall_s": wall_s, "kinds": kinds, "failed": len(failures), "why": failures[:1]}

    async def drop(self) -> dict[str, Any]:
        """Let everybody be gone at once.

        Returns:
            lost: how many were gone before, by close code, 0 for none.
        """
        self._leaving = True
        for member in list(self._members.values()):
            member.drop()
        await self._alone.wait()
        self._leaving = False
        lost, self._lost = self._lost, Counter()
        return {"lost": {str(code): count for code, count in lost.items()}}

    async def _enter(self, number: int, hello: bytes) -> str:
        urls = self._shape.urls
        member = self._members[number] = self._member(number, hello)
        self._alone.clear()
        entered = member.entered
        assert entered is not None
        await ws_connect(lambda: member, urls[number % len(urls)], **member.settings)
        return await asyncio.wait_for(entered, _ENTRY_S)

    def _member(self, number: int, hello: bytes) -> Member:
        if number in self._sampled:
            return SampledMember(number, hello, self._tally, self._gone, self._samples)
        return Member(number, hello, self._tally, self._gone)

    def _gone(self, member: Member) -> None:
        if self._members.get(member.number) is member:
            del self._members[member.number]
        if not self._leaving:
            self._lost[member.ended] += 1
        if not self._members:
            self._alone.set()

    # --- what they ask for ------------------------------------------------------------------------------------------

    async def heartbeats(self, per_s: float, seconds: float) -> dict[str, Any]:
        """Send heartbeats, evenly over all sockets."""
        members = list(self._members.values())
        sent = 0
        started_s = time.perf_counter()
        while (elapsed_s := time.perf_counter() - started_s) < seconds:
            while sent < elapsed_s * per_s:
                members[sent % len(members)].send(_HEARTBEAT)
                sent += 1
            await asyncio.sleep(_STEP_S)
        return {"sent": sent}

    async def changes(self, per_s: float, count: int) -> dict[str, Any]:
        """Let one user after another change his status, and wait until all sampled sockets have seen it.

        Returns:
            changes; deliveries: changes times those who must be told; missed: how many updates the sampled sockets
            should have seen and did not; updates_per_frame; late_ms: how late the generator itself was at most;
            latency_ms: percentiles from asking to seeing.
        """
        samples = self._samples
        samples.restart()
        expected = deliveries = 0
        late_s = 0.0
        started_s = time.perf_counter()
        for index in range(count):
            due_s = started_s + index / per_s
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            late_s = max(late_s, time.perf_counter() - due_s)
            number = next(turn for turn in self._turns if turn in self._members)
            self._change(number, index)
            expected += self._readers[number]
            deliveries += self._receivers[number]
        await self._all_seen(expected)
        return {
            "changes": count,
            "deliveries": deliveries,
            "missed": expected - samples.updates,
            "updates_per_frame": samples.updates / max(1, samples.deltas),
            "late_ms": late_s * 1000,
            "latency_ms": percentiles(samples.latencies_s),
        }

    def _change(self, number: int, identity: int) -> None:
        status = self._statuses[number] = "online" if self._statuses[number] == "busy" else "busy"
        self._samples.stamps[f"u{number}"] = (status, time.perf_counter())
        self._members[number].send(b'{"type":"set_status","id":%d,"status":"%b"}' % (identity, status.encode()))

    async def _all_seen(self, expected: int) -> None:
        seen, since_s = self._samples.updates, time.perf_counter()
        while self._samples.updates < expected and time.perf_counter() - since_s < _QUIET_S:
            await asyncio.sleep(_STEP_S)
            if self._samples.updates != seen:
                seen, since_s = self._samples.updates, time.perf_counter()

    # --- who is who -------------------------------------------------------------------------------------------------

    def _team(self, number: int) -> str:
        return f"{self._shape.teams}{number // self._shape.team_size}"

    def _mates(self, number: int) -> range:
        first = number // self._shape.team_size * self._shape.team_size
        return range(first, min(first + self._shape.team_size, self._shape.sockets))

    def _watch_list(self, number: int) -> Sequence[int]:
        mates = self._mates(number)
        return self._random.sample(mates, min(self._shape.watched, len(mates)))

    def _audiences(self) -> tuple[Counter[int], Counter[int]]:
        """For each user, how many sockets must be told of his changes, and how many of these are sampled."""
        receivers: Counter[int] = Counter()
        readers: Counter[int] = Counter()
        sampled_by_team: Counter[str] = Counter(self._team(number) for number in self._sampled)
        for number in range(self._shape.sockets):
            if not self._shape.watched:
                receivers[number] = len(self._mates(number))
                readers[number] = sampled_by_team[self._team(number)]
                continue
            seen = {*self._watch[number], number}
            receivers.update(seen)
            if number in self._sampled:
                readers.update(seen)
        return receivers, readers

    def _shuffled(self) -> Iterator[int]:
        order = list(range(self._shape.sockets))
        self._random.shuffle(order)
        while True:
            yield from order

    def _hello(self, number: int, *, resume: bool, full: bool) -> bytes:
        hello: dict[str, Any] = {"type": "hello"}
        team = self._team(number)
        if self._shape.plain:
            hello |= {"user": f"u{number}", "team": team}
            if full:
                hello |= {"token": self._tokens[number], "snapshot": self._shape.team_size}
            return orjson.dumps(hello)
        hello |= {"token": self._tokens[number], "idle_ms": 0}
        if resume:
            epoch, version = max(self._samples.position.values())
            hello["resume"] = {team: {"epoch": epoch, "version": version}}
        if self._shape.watched:
            hello["watch"] = {team: [f"u{other}" for other in self._watch[number]]}
        return orjson.dumps(hello)


def percentiles(values: list[float]) -> dict[str, float]:
    """The 50th, 95th and 99th percentile and the largest of some seconds, as milliseconds."""
    ordered = sorted(values)
    if not ordered:
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000 for name, part in at.items()}
