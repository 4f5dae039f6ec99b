"""What people do: open and lose tabs, move their mouse, choose, sign out; and administrators about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from presence_server.core.status import UserDetail
from tests.schedules.node import Node, Tab
from tests.schedules.oracle import Oracle


class People(ABC):
    """All that people may do in a world. What makes no sense where it stands does nothing."""

    nodes: dict[str, Node]
    all_nodes: list[Node]
    teams: tuple[str, ...]
    oracle: Oracle
    idle_ms: int
    grace_ms: int

    @abstractmethod
    def run(self, *slots: str) -> None:
        """Some workers do all they have to do."""

    def open(self, slot: str, user: str, session: str, teams: Sequence[str] = (), *, idle_ms: int = 0) -> Tab | None:
        """Somebody opens a tab, in all teams or in some; his last input was `idle_ms` ago."""
        node = self.nodes[slot]
        if not node.running or node.worker.draining:
            return None
        return Tab(node, user, session, tuple(teams) or self.teams, idle_ms)

    def find(self, slot: str, user: str, session: str) -> Tab | None:
        """The first tab of a user that is open."""
        node = self.nodes[slot]
        found = [tab for tab in node.tabs if tab.open and (tab.user, tab.session) == (user, session)]
        return found[0] if found and node.running else None

    def tabs(self) -> list[Tab]:
        """Every tab there was."""
        return [tab for node in self.all_nodes for tab in node.tabs]

    def lose(self, slot: str, user: str, session: str) -> None:
        """Somebody closes a tab, or loses his network."""
        if tab := self.find(slot, user, session):
            tab.close_it(self.oracle.holders_of(tab))

    def input(self, slot: str, user: str, session: str, idle_ms: int = 0) -> None:
        """Somebody has moved his mouse, so long ago."""
        if tab := self.find(slot, user, session):
            tab.say(type="heartbeat", idle_ms=idle_ms)

    def logout(self, slot: str, user: str, session: str) -> None:
        """Somebody signs out, in all tabs of the session."""
        if tab := self.find(slot, user, session):
            tab.say(type="logout")

    def choose(self, slot: str, user: str, status: str, by: str = "") -> None:
        """Somebody chooses a status, in all teams, for himself or for another."""
        node = self.nodes[slot]
        if node.running:
            for team in self.teams:
                node.begin(self._choose(node, team, user, status, by or user))
                self.oracle.asked(team, user, status, by or user)

    def sign_out(self, slot: str, user: str, by: str = "boss") -> None:
        """An administrator signs somebody out of all teams, or he does himself."""
        node = self.nodes[slot]
        if node.running:
            for team in self.teams:
                node.begin(node.worker.access.sign_out_user(team, user, by=by))

    def configure(self, slot: str, **settings: int) -> None:
        """An administrator changes the settings of all teams."""
        self.idle_ms = settings.get("idle_timeout_ms", self.idle_ms)
        self.grace_ms = settings.get("grace_ms", self.grace_ms)
        for team in self.teams:
            self.nodes[slot].begin(self.nodes[slot].worker.access.write_settings(team, **settings))
        self.run(slot)

    def detail(self, slot: str, team: str, user: str) -> UserDetail:
        """What a user is told of himself."""
        task = self.nodes[slot].begin(self.nodes[slot].worker.access.read_user(team, user))
        self.run(slot)
        detail: UserDetail = task.result()
        return detail

    async def _choose(self, node: Node, team: str, user: str, status: str, by: str) -> None:
        if by == user:
            self.oracle.active(user)
        await node.worker.access.choose(team, user, status, by=by)
