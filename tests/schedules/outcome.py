"""What must be so in the end, after whatever schedule: holds, statuses and views agree, and nothing is left over."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from presence_server.core.status import OFFLINE
from tests.schedules.oracle import SLACK_MS, Violation

if TYPE_CHECKING:
    from tests.schedules.node import Tab
    from tests.schedules.world import World


class Outcome:
    """Lets a world come to rest, and looks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._oracle = world.oracle

    def settle(self) -> None:
        """Faults are over: within two leases and a little everything must agree, and stay so as late calls come in."""
        world = self._world
        lease = world.settings.lease_ttl_ms // 1000
        world.up()
        for node in world.all_nodes:
            node.wire.forgive()
            node.wire.release()
        # One more, so that somebody sweeps even if all the others are gone.
        world.start("c")
        world.tick(2)
        self._check_told()
        self._quiet(2 * lease + 4)
        self._check("while those that stand still are dead")
        if any(node.stopped for node in world.nodes.values()):
            for slot in world.nodes:
                world.cont(slot)
            self._quiet(lease + 4)
        if any(node.wire.late for node in world.all_nodes):
            for node in world.all_nodes:
                while node.wire.late:
                    node.wire.arrive_late()
            self._quiet(2 * lease + 4)
        self._check("at the end")
        for tab in world.tabs():
            if tab.open:
                tab.close_it(self._oracle.holders_of(tab))
        self._quiet(4 * lease)
        self._check("after everybody has left")
        self._check_leftovers()

    def _quiet(self, ticks: int) -> None:
        """Time passes in which everybody who is there moves his mouse, and nothing else happens."""
        for _ in range(ticks):
            for tab in self._world.tabs():
                if tab.open and tab.node.running:
                    tab.say(type="heartbeat", idle_ms=0)
            self._world.tick()

    def _check_told(self) -> None:
        """With nobody moving: is anybody idle in Redis although the worker that has him knows better?"""
        if self._world.time.now_ms - self._oracle.rolled_back_ms <= self._world.settings.lease_ttl_ms:
            return
        for team in self._world.teams:
            for user in self._oracle.users:
                found = self._world.stored(team, user)
                if found is None or found.status != OFFLINE:
                    continue
                for node, hold in self._oracle.holds(team, user):
                    is_there = (node.name, hold.session) in found.holds and hold.version and node.running
                    if is_there and hold.active_s * 1000 + self._world.idle_ms > self._world.time.now_ms:
                        raise Violation(f"Expected {user} shown in {team}, got him idle; {node.slot} knows better")

    def _check(self, when: str) -> None:
        """All agree: holds, statuses, rosters, choices."""
        for node in self._world.all_nodes:
            if node.worker.failure is not None:
                raise node.worker.failure
        for team in self._world.teams:
            self._check_holds(team, when)
            self._check_statuses(team, when)
            self._check_views(team, when)

    def _check_holds(self, team: str, when: str) -> None:
        expected = {}
        for node in self._world.nodes.values():
            for hold in node.holds(team) if node.running else ():
                expected[hold.user, node.name, hold.session] = hold.connections
        found = {}
        for user in self._oracle.users:
            stored = self._world.stored(team, user)
            found.update({(user, *key): opened for key, opened in stored.holds.items()} if stored else {})
        if found != expected:
            raise Violation(f"Expected holds in {team}, {when}, to be {expected}, got {found}")
        opened = Counter((tab.user, tab.node.name, tab.session) for tab in self._present(team))
        if opened != Counter(expected):
            raise Violation(f"Expected the tabs {dict(opened)} to be held in {team}, {when}, got {expected}")

    def _check_statuses(self, team: str, when: str) -> None:
        idle_ms = self._world.idle_ms
        for user in self._oracle.users:
            found = self._world.stored(team, user)
            if found is None:
                continue
            wanted = found.chosen if found.holds and found.active_ms + idle_ms > self._world.time.now_ms else OFFLINE
            if found.status != wanted:
                raise Violation(f"Expected {user} to be {wanted} in {team}, {when}, got {found}")
            known_s = max((hold.active_s for node, hold in self._oracle.holds(team, user) if node.running), default=0)
            if found.status == OFFLINE and known_s * 1000 + idle_ms > self._world.time.now_ms + SLACK_MS:
                raise Violation(f"Expected {user} shown in {team}, {when}, got him idle; his worker knows better")

    def _check_views(self, team: str, when: str) -> None:
        stored = {user: self._world.stored(team, user) for user in self._oracle.users}
        real = {user: found.status for user, found in stored.items() if found and found.status != OFFLINE}
        for tab in self._present(team):
            view = tab.views[team]
            if view.statuses() != real or not view.complete or not tab.live:
                raise Violation(f"Expected {tab.user} on {tab.node.slot} to see {real}, {when}, got {view}")

    def _present(self, team: str) -> list[Tab]:
        """The tabs in a team that are open on workers that run."""
        return [tab for tab in self._world.tabs() if tab.open and tab.node.running and team in tab.teams]

    def _check_leftovers(self) -> None:
        """Nothing is kept of who is gone."""
        client, due = self._world.client, self._world.keys.due
        names = {node.name for node in self._world.nodes.values() if node.running}
        for team in self._world.teams:
            here = {name for name, fence in self._world.standing(team).fences.items() if not fence.left_ms}
            left = here - (names if self._oracle.lossy else set())
            kept = [key.decode() for key in client.scan_iter(f"{self._world.keys.team(team)}:held:*", count=1000)]
            if left or kept:
                raise Violation(f"Expected nothing left in {team}, got {left or kept}")
        workers: Any = client.zrange(f"{due}:workers", 0, -1)
        numbers: Any = client.hkeys(f"{due}:numbers")
        known = {name.decode() for name in [*workers, *numbers]}
        of = {key.decode().rpartition(":")[2] for key in client.scan_iter(f"{due}:of:*", count=1000)}
        orders: Any = client.hgetall(f"{due}:burials")
        stale = (known - names) | (of - (names if self._oracle.lossy else set()))
        if stale or orders or client.exists(f"{due}:dead", f"{due}:lifted"):
            raise Violation(f"Expected nothing left in the index, got {stale or orders or 'somebody dead'}")
        for node in self._world.nodes.values():
            if node.running and node.lanes():
                raise Violation(f"Expected {node.slot} to be in no team, got {node.lanes()}")
