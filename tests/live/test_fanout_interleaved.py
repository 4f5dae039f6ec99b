"""Whatever the order of joins, changes, blocks and flushes: whoever reads ends with the roster's view.

The members' views object by themselves to what a client must not be sent: a change told twice, versions that fall, a
delta before its snapshot, two snapshots mixed (tests.support.view).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from presence_server.live import fanout
from tests.live.room import Member, Room, settle

USERS = ["ana", "juan", "luz", "eva"]
TEAMS = ["acme", "bell"]

users = st.sampled_from(USERS)
teams = st.sampled_from(TEAMS)
watches = st.none() | st.lists(users, unique=True, max_size=2)
changes = st.lists(st.tuples(users, st.sampled_from(["online", "busy", "offline"])), min_size=1, max_size=3)
some = st.integers(0, 100)


class Interleaved(RuleBasedStateMachine):
    """A room of which anything happens in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.room = self.run(lambda: Room(*TEAMS))
        self.members: list[tuple[Member, dict[str, list[str] | None]]] = []
        self.gone: list[Member] = []
        self.epochs = 1

    def run(self, act: Callable[[], Any]) -> Any:
        async def within() -> Any:
            return act()

        return self.runner.run(within())

    @rule(watch=watches, narrow=st.booleans())
    def join(self, watch: list[str] | None, narrow: bool) -> None:
        member = self.run(lambda: self.room.join(watch=watch, narrow=narrow))
        self.members.append((member, dict.fromkeys(TEAMS, watch)))

    @rule()
    def resume(self) -> None:
        """Whoever left last comes back with what he had."""
        if self.gone:
            before = self.gone.pop()
            self.members.append((self.run(lambda: self.room.join(resume_from=before)), dict.fromkeys(TEAMS)))

    @rule(which=some)
    def leave(self, which: int) -> None:
        if self.members:
            member, watch = self.members.pop(which % len(self.members))
            self.run(lambda: self.room.connections.lost(member.connection, 1006))
            if all(users is None for users in watch.values()) and all(map(member.is_whole, TEAMS)):
                self.gone.append(member)

    @rule(which=some)
    def narrow(self, which: int) -> None:
        """From the next frame on, the line takes no more."""
        if self.members:
            self.members[which % len(self.members)][0].narrow = True

    @rule(which=some)
    def stuff(self, which: int) -> None:
        """The line is full of something else."""
        if self.members:
            member, _ = self.members[which % len(self.members)]
            self.run(lambda: self.room.connections.paused(member.connection))

    @rule(which=some)
    def trickle(self, which: int) -> None:
        """The line takes what it has, and is still as narrow."""
        if self.members:
            member, _ = self.members[which % len(self.members)]
            if member.connection.blocked_s:
                self.run(lambda: self.room.connections.resumed(member.connection))

    @rule(which=some)
    def widen(self, which: int) -> None:
        if self.members:
            self.run(self.members[which % len(self.members)][0].widen)

    @rule(which=some, team=teams, watch=watches)
    def rewatch(self, which: int, team: str, watch: list[str] | None) -> None:
        if self.members:
            member, watched = self.members[which % len(self.members)]
            watched[team] = watch
            self.run(lambda: self.room.rewatch(member, watch, team))

    @rule(team=teams, changed=changes)
    def change(self, team: str, changed: list[tuple[str, str]]) -> None:
        self.run(lambda: self.room.teams[team].change(*changed))

    @rule(team=teams, user=users, status=st.sampled_from(["online", "busy"]))
    def choose_offline(self, team: str, user: str, status: str) -> None:
        entry = self.room.teams[team].roster.get(user)
        if entry is None or entry.status == "offline":
            self.run(lambda: self.room.teams[team].choose_offline(user, status))

    @rule(team=teams)
    def configure(self, team: str) -> None:
        self.run(self.room.teams[team].configure)

    @rule(team=teams, present=st.dictionaries(users, st.sampled_from(["online", "busy"])))
    def begin_epoch(self, team: str, present: dict[str, str]) -> None:
        self.epochs += 1
        self.run(lambda: self.room.teams[team].begin_epoch(f"k{self.epochs}", present))

    @rule(team=teams)
    def flush(self, team: str) -> None:
        self.run(self.room.teams[team].fanout.flush)

    @rule()
    def turn(self) -> None:
        """The loop takes a turn: slices that were put off go out."""
        self.runner.run(asyncio.sleep(0))

    def teardown(self) -> None:
        try:
            for member, _ in self.members:
                self.run(member.widen)
            self.run(self.room.flush)
            self.runner.run(settle())
            for member, watched in self.members:
                for name, team in self.room.teams.items():
                    watch = watched[name]
                    assert member.shown(name) == team.statuses(None if watch is None else [*watch, "maria"])
        finally:
            self.runner.close()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots come in parts, flushes in slices, as those of large teams do."""
    monkeypatch.setattr(fanout, "PART", 1)
    monkeypatch.setattr(fanout, "SLICE", 1)
    monkeypatch.setattr(fanout, "SNAPSHOTS", 1)


def test_whoever_reads_ends_with_the_rosters_view() -> None:
    run_state_machine_as_test(
        Interleaved,
        settings=settings(
            max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
