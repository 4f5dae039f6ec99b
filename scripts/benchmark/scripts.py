"""What Redis takes for each script, called in a loop: no socket, no worker and no wait for either is in the figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from benchmark import machine
from benchmark.results import Results, Sheet
from benchmark.valkey import CountingValkey
from presence_server.store.keys import Keys
from presence_server.store.operations import choose, hold, touch
from tests.support.worker import ROOT

_US: Final = 1e6
_TEAM: Final = 10
# Calls that one side carries out before it is the other's turn, so that what else the machine does hits both.
_CHUNK: Final = 200
_PIPELINE: Final = 50
_WORKER: Final = "0123456789ab"
_LEASE_MS: Final = 3_600_000
_KEYS: Final = Keys("presence", 0)
_LIST: Final = """
import json
from presence_server.settings import Settings
from presence_server.store.scripts import Scripts
print(json.dumps({script.name: script.source for script in Scripts(Settings(), ":feed:0").all()}))
"""

Arguments = Callable[[str, int], Sequence[str | int]]
"""An operation's input for a user, who has had so many turns."""


class Work(NamedTuple):
    """What is done over and over.

    Attributes:
        name: what figures are listed under.
        operation: the script.
        arguments: its input for each user.
        teams: how many teams take turns; one fits the processor's cache.
        calls: on each team.
        users: in each call.
        numbered: whether it is a numbered write; the others take a random word alone.
    """

    name: str
    operation: str
    arguments: Arguments
    teams: int = 1_000
    calls: int = 5
    users: int = 1
    numbered: bool = True


def _now_ms() -> int:
    return int(time.time() * 1000)


def _join(user: str, turn: int) -> Sequence[str | int]:
    return hold.encode([hold.Telling(user, f"s{turn}", 1, _now_ms(), 0, 0, True)])


def _lose(user: str, turn: int) -> Sequence[str | int]:
    return hold.encode([hold.Telling(user, f"s{turn}", 0, 0, 0, 0, False)])


def _choose(user: str, turn: int) -> Sequence[str | int]:
    return choose.encode([choose.Choice(user, ("busy", "online")[turn % 2], _now_ms(), user)])


def _touch(user: str, turn: int) -> Sequence[str | int]:
    return (user, _now_ms())


# Each finds what those before it have left.
WORKS: Final = (
    Work("a join", hold.NAME, _join),
    Work("a choice", choose.NAME, _choose),
    Work("a choice in one team", choose.NAME, _choose, teams=1, calls=5_000),
    Work("input of somebody idle", touch.NAME, _touch, numbered=False),
    Work("a lost connection", hold.NAME, _lose),
    Work("one of 50 joins at once", hold.NAME, _join, teams=60, calls=1, users=50),
    Work("one of 50 choices at once", choose.NAME, _choose, teams=60, calls=1, users=50),
)


class _Caller:
    """A Valkey with the scripts of a checkout, and the one worker that calls them."""

    def __init__(self, checkout: Path, valkey: CountingValkey) -> None:
        variables = os.environ | {"PYTHONPATH": str(checkout)}
        listed = subprocess.run(
            [sys.executable, "-c", _LIST], env=variables, cwd=checkout, capture_output=True, text=True, check=False
        )
        if listed.returncode:
            last = listed.stderr.strip().rpartition("\n")[2]
            raise RuntimeError(f"Expected {checkout} to list its scripts as this checkout does, got {last}")
        self._valkey = valkey
        self._shas = {name: valkey.looker.script_load(source) for name, source in json.loads(listed.stdout).items()}
        self._numbers: dict[str, int] = {}

    def calls(self, work: Work, teams: int) -> Iterator[tuple[str, ...]]:
        """All calls of some work, ready to be sent."""
        for call in range(work.calls):
            for team in (f"{work.users}t{at}" for at in range(teams)):
                size = max(_TEAM, work.users)
                turns = [divmod(call * work.users + at, size) for at in range(work.users)]
                given = [part for turn, user in turns for part in work.arguments(f"u{user}", turn)]
                guard = self._guard(team) if work.numbered else ["word"]
                yield (self._shas[work.operation], _KEYS.team(team), *map(str, (*guard, *given)))

    def _guard(self, team: str) -> list[str | int]:
        before = self._numbers.get(team, 0)
        self._numbers[team] = before + 1
        return [_WORKER, _now_ms() + _LEASE_MS, int(before > 0), before, before + 1, 0, f"word{before + 1:x}"]

    def carry_out(self, calls: Sequence[tuple[str, ...]], work: Work, sheet: Sheet) -> None:
        """Make some calls, and note what each user in them took."""
        run, _, inside_us = self._valkey.counts()
        cpu_s = machine.cpu_s(self._valkey.pid)
        for at in range(0, len(calls), _PIPELINE):
            with self._valkey.looker.pipeline(transaction=False) as pipeline:
                for sha, *arguments in calls[at : at + _PIPELINE]:
                    pipeline.evalsha(sha, 1, *arguments)
                verdicts = {reply[0] for reply in pipeline.execute()}
            if verdicts != {b"ok"}:
                raise RuntimeError(f"Expected {work.operation}.lua to carry everything out, got {verdicts}")
        cpu_s = machine.cpu_s(self._valkey.pid) - cpu_s
        run_after, _, inside_after_us = self._valkey.counts()
        times = len(calls) * work.users
        sheet.add(f"{work.name}: Valkey's CPU", cpu_s / times * _US, "µs")
        sheet.add(f"{work.name}: time inside the script", (inside_after_us - inside_us) / times, "µs")
        sheet.add(f"{work.name}: commands run inside", (run_after - run) / times - 1 / work.users)


def measure(results: Results, scale: float, old: Path | None, tell: Callable[[str], None]) -> None:
    """Call each script in a loop, those of another checkout by turns with this one's."""
    title = "Scripts in a loop, teams of ten"
    tell(title)
    with ExitStack() as stack:
        sides = {
            name: _Caller(checkout, stack.enter_context(CountingValkey()))
            for name, checkout in (("presence", ROOT), ("old", old))
            if checkout is not None
        }
        for work in WORKS:
            teams = max(1, round(work.teams * scale))
            ready = [(side, list(side.calls(work, teams)), Sheet(results, title, name)) for name, side in sides.items()]
            chunk = max(1, _CHUNK // work.users)
            for at in range(0, len(ready[0][1]), chunk):
                for side, calls, sheet in ready:
                    side.carry_out(calls[at : at + chunk], work, sheet)
                ready.reverse()
