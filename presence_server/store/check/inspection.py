"""What Redis holds, beside what the contract allows: for `presence-server check --deep`. It only reads.

Workers go on meanwhile, so what looks wrong is looked at again a little later, and counts only if it is wrong still.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from presence_server.core.roster import NO_MARK
from presence_server.settings import Settings
from presence_server.store.check.servers import Routed, Servers
from presence_server.store.keys import Keys
from presence_server.store.scripts import CLAIM_MS, GAP_MS
from presence_server.store.types import Standing, standing_of

# Rule 10 of the contract: how late after his deadline somebody may be told to be offline.
LATE_MS: Final = 1_500
# How long after the first look the second is taken: longer than anything that is under way.
AGAIN_S: Final = 2.0
# So many faults are enough to know that something is wrong.
_MOST: Final = 200
_UNREADABLE: Final = "Expected what a worker writes, got something else: the next that writes there makes it anew"
# People of one team that are told of one by one.
_PEOPLE: Final = 20


class Fault(NamedTuple):
    """Something that should not be.

    Attributes:
        team: where.
        who: a user or a worker.
        kind: of fault.
        text: all of it, in plain words.
    """

    team: str
    who: str
    kind: str
    text: str

    @property
    def is_about(self) -> tuple[str, str, str]:
        """What it shares with itself at another look."""
        return self.team, self.who, self.kind


class Gaps(NamedTuple):
    """When nobody swept, by Redis's clock.

    Attributes:
        swept_ms: when somebody last did; 0 for never.
        intervals: the latest, from and until.
    """

    swept_ms: int
    intervals: tuple[tuple[int, int], ...]

    def put_off(self, instant_ms: int, by_ms: int) -> int:
        """A deadline inside a gap counts from the gap's end, and so on."""
        for begin_ms, end_ms in self.intervals:
            if begin_ms < instant_ms <= end_ms:
                instant_ms = end_ms + by_ms
        return instant_ms


class Team(NamedTuple):
    """What a look at one team brought.

    Attributes:
        name: of the team.
        now_ms: when, by Redis's clock.
        standing: who is there.
        idle_ms: its idle timeout.
        gaps: of its index.
        burials: in its index: worker → end of his lease.
    """

    name: str
    now_ms: int
    standing: Standing
    idle_ms: int
    gaps: Gaps
    burials: dict[str, int]

    @property
    def is_swept(self) -> bool:
        """Whether somebody sweeps; if not, nothing can be in time."""
        return self.now_ms - self.gaps.swept_ms <= GAP_MS


class Inspection:
    """One look at everything.

    Args:
        servers: where it is.
        settings: the lease, the default idle timeout and the prefix of keys.
        keys_of: the names of keys of a team, and of its index.

    Attributes:
        teams: how many were looked at.
        at_rest: how many of them nobody sweeps.
    """

    def __init__(self, servers: Servers, settings: Settings, keys_of: Callable[[str], Keys]) -> None:
        self._servers = servers
        self._settings = settings
        self._keys_of = keys_of
        self.teams = 0
        self.at_rest = 0

    async def faults(self) -> list[Fault]:
        """Look at every team, and again at those where something seemed wrong.

        Raises:
            Unavailable: a server does not answer, or will not.
        """
        prefix, suffix = f"{self._settings.key_prefix}:{{", "}:mark"
        seen: dict[tuple[str, str, str], Fault] = {}
        async for keys in self._servers.scan(_literally(prefix) + "*" + suffix):
            # The pattern's star fits more than an id does.
            names = {key[len(prefix) : -len(suffix)] for key in keys}
            teams = await self._look({name for name in names if "}" not in name})
            self.teams += len(teams)
            self.at_rest += sum(not team.is_swept for team in teams)
            seen |= {fault.is_about: fault for fault in await self._judge(teams)}
            if len(seen) >= _MOST:
                break
        refused = [Fault("", key, "refused", f"key {key}: {why}") for key, why in self._servers.refused.items()]
        if not seen:
            return refused
        await asyncio.sleep(AGAIN_S)
        teams = await self._look({fault.team for fault in seen.values()})
        return [*refused, *[fault for fault in await self._judge(teams) if fault.is_about in seen]]

    async def _look(self, names: Iterable[str]) -> list[Team]:
        """Marks first: a worker goes on record before it writes."""
        teams = sorted(names)
        marks = await self._servers.read(
            [(self._keys_of(name).mark(name), ("GET", self._keys_of(name).mark(name))) for name in teams]
        )
        commands: list[Routed] = []
        for name in teams:
            due = self._keys_of(name).due
            commands += (
                (due, ("TIME",)),
                (due, ("HMGET", f"{due}:clock", "swept", "gaps")),
                (due, ("HGET", f"{due}:burials", name)),
            )
        found = await self._servers.read(commands)
        looks = [
            self._team(name, mark, *found[3 * at : 3 * at + 3])
            for at, (name, mark) in enumerate(zip(teams, marks, strict=True))
        ]
        # What is gone, or cannot be read, is no team; of the latter it has been said.
        return [team for team in looks if team is not None]

    def _team(self, name: str, mark: bytes | None, time: Sequence[int], clock: Any, burials: Any) -> Team | None:
        keys = self._keys_of(name)
        if mark is None:
            return None
        standing = standing_of(mark)
        if standing.mark == NO_MARK:
            self._servers.refused[keys.mark(name)] = _UNREADABLE
            return None
        try:
            return self._read_team(name, standing, time, clock, burials)
        except (ValueError, TypeError):
            self._servers.refused[keys.due] = _UNREADABLE
            return None

    def _read_team(self, name: str, standing: Standing, time: Sequence[int], clock: Any, burials: Any) -> Team:
        now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
        swept, gaps = clock or (None, None)
        swept_ms = int(swept or 0)
        intervals = [(begin, end) for begin, end in orjson.loads(gaps or b"[]")]
        if now_ms - swept_ms > GAP_MS:
            intervals.append((swept_ms, now_ms))
        orders = orjson.loads(burials)[1:] if burials else []
        return Team(
            name,
            now_ms,
            standing,
            standing.idle_timeout_ms or self._settings.idle_timeout_ms,
            Gaps(swept_ms, tuple(intervals)),
            dict(zip(orders[::3], orders[2::3], strict=True)),
        )

    async def _judge(self, teams: Sequence[Team]) -> list[Fault]:
        return [*await self._late(teams), *await self._unvouched(teams), *_overdue(teams)]

    # --- people -----------------------------------------------------------------------------------------------------

    async def _late(self, teams: Sequence[Team]) -> list[Fault]:
        """Those who are shown although their deadline has passed."""
        commands: list[Routed] = []
        for team in teams:
            keys, until_ms = self._keys_of(team.name), team.now_ms - LATE_MS
            for key, most in ((keys.active(team.name), until_ms - team.idle_ms), (keys.ends(team.name), until_ms)):
                commands.append((key, ("ZRANGE", key, "-inf", most, "BYSCORE", "LIMIT", 0, _PEOPLE, "WITHSCORES")))
        found = await self._servers.read(commands)
        faults: list[Fault] = []
        candidates: list[tuple[Team, str, int]] = []
        for at, team in enumerate(teams):
            for user, score_ms in _pairs(found[2 * at]):
                deadline_ms = team.gaps.put_off(score_ms + team.idle_ms, self._settings.lease_ttl_ms // 3)
                faults += _late_fault(team, user, deadline_ms, "should be offline as idle")
            candidates += [(team, user, score_ms) for user, score_ms in _pairs(found[2 * at + 1])]
        # Of those who are offline the other list tells when to forget them, which is urgent to nobody.
        keys_of_active = [self._keys_of(team.name).active(team.name) for team, *_ in candidates]
        shown = await self._servers.read(
            [(key, ("ZSCORE", key, user)) for key, (_, user, _) in zip(keys_of_active, candidates, strict=True)]
        )
        for (team, user, score_ms), score in zip(candidates, shown, strict=True):
            if score is not None:
                deadline_ms = team.gaps.put_off(score_ms, self._settings.lease_ttl_ms)
                faults += _late_fault(team, user, deadline_ms, "should be offline since all connections are lost")
        return faults

    # --- workers ----------------------------------------------------------------------------------------------------

    async def _unvouched(self, teams: Sequence[Team]) -> list[Fault]:
        """Workers that are in a team although they are dead, or are not on record for it."""
        there = [
            (team, worker) for team in teams for worker, fence in team.standing.fences.items() if not fence.left_ms
        ]
        commands: list[Routed] = []
        for team, worker in there:
            keys = self._keys_of(team.name)
            due, held = keys.due, f"{keys.team(team.name)}:held:{worker}"
            commands += (
                (due, ("ZSCORE", f"{due}:workers", worker)),
                (due, ("ZSCORE", f"{due}:dead", worker)),
                (due, ("SISMEMBER", f"{due}:of:{worker}", team.name)),
                (held, ("ZCARD", held)),
            )
        found = await self._servers.read(commands)
        faults = []
        for at, (team, worker) in enumerate(there):
            alive, dying, recorded, held = found[4 * at : 4 * at + 4]
            known = alive is not None or worker in team.burials or (dying is not None and recorded)
            if not known:
                text = f"{held or 0} held by worker {worker}, which has no lease, and nobody was told to take them away"
                faults.append(Fault(team.name, worker, "ghost", f"team {team.name}: {text}"))
            elif alive is not None and not recorded:
                text = f"worker {worker} writes to it, and is not on record for it: its people would outlive it"
                faults.append(Fault(team.name, worker, "unrecorded", f"team {team.name}: {text}"))
        return faults


def _overdue(teams: Sequence[Team]) -> list[Fault]:
    """Dead workers whose people nobody has taken away."""
    faults = []
    for team in teams:
        for worker, end_ms in team.burials.items():
            late_ms = team.now_ms - end_ms - CLAIM_MS
            if team.is_swept and late_ms > LATE_MS:
                text = f"what dead worker {worker} held should have been taken away {late_ms / 1000:.1f} s ago"
                faults.append(Fault(team.name, worker, "burial", f"team {team.name}: {text}"))
    return faults


def _late_fault(team: Team, user: str, deadline_ms: int, what: str) -> list[Fault]:
    late_ms = team.now_ms - deadline_ms
    if late_ms <= LATE_MS:
        return []
    return [Fault(team.name, user, "late", f"team {team.name}: {user} {what}, for {late_ms / 1000:.1f} s already")]


def _pairs(flat: Sequence[Any] | None) -> list[tuple[str, int]]:
    there = flat or ()
    return [(member.decode(), int(float(score))) for member, score in zip(there[::2], there[1::2], strict=True)]


def _literally(text: str) -> str:
    """A pattern that fits this text alone."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", text)
