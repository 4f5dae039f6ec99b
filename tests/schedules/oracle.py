"""What must hold in every schedule: no word broken, no ghost, sign-outs final, the newest input.

Watches what is carried out and what is published. Where Redis has lost writes, what it lost may be missing, not more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from presence_server.core.status import OFFLINE
from presence_server.store.hold import Hold
from presence_server.store.scripts import GAP_MS
from tests.schedules.stored import Stored
from tests.schedules.wire import Request

if TYPE_CHECKING:
    from tests.schedules.node import Node, Tab
    from tests.schedules.world import World

NEVER: Final = -(10**15)
FOREVER: Final = 10**15
# A sweep comes twice a second, and a worker takes a moment for what it has to do.
SLACK_MS: Final = 2_000
# The guard of every numbered write, before its own arguments; see write.lua.
_GUARD: Final = 7


class Violation(AssertionError):
    """Something happened that never may."""


class Oracle:
    """Sees everything, and objects.

    Attributes:
        users: everybody who ever did anything.
        history: by team and user, all statuses that were published, with their reasons.
        rolled_back_ms: when Redis lost something last.
        lossy: whether it ever did.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._keys = world.keys
        self.users: set[str] = set()
        self.history: defaultdict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        self._newest: dict[str, int] = {}
        # Until when each worker's word lasts, and how much longer it may after an interval without a sweep.
        self._vouched: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._contact_ms = world.time.now_ms
        self._outage = (NEVER, NEVER)
        self.rolled_back_ms = NEVER
        self.lossy = False
        # By team, user and session: under which name the team was told of it last; and the newest token signed out.
        self._told: dict[tuple[str, str, str], str] = {}
        self._ended: dict[tuple[str, str, str], int] = {}
        self._signed_at: dict[tuple[str, str], int] = {}
        self._asked: Counter[tuple[str, str, str]] = Counter()
        self._chosen: Counter[tuple[str, str, str]] = Counter()
        self._versions: dict[str, tuple[str, int]] = {}
        self._born_ms = world.time.now_ms
        self._held_before: set[str] = set()

    @property
    def _now(self) -> int:
        return self._world.time.now_ms

    # --- what is seen -------------------------------------------------------------------------------------------------

    def active(self, user: str, ago_ms: int = 0) -> None:
        """A user has given input."""
        self.users.add(user)
        self._newest[user] = max(self._newest.get(user, NEVER), self._now - ago_ms)

    def asked(self, team: str, user: str, status: str, by: str) -> None:
        """Somebody has chosen for a user."""
        self.users.add(user)
        if by == user:
            self._asked[team, user, status] += 1

    def holders_of(self, tab: Tab) -> dict[str, str]:
        """Under which name each team was told of a tab last."""
        found = {team: self._told.get((team, tab.user, tab.session), "") for team in tab.teams}
        return {team: name for team, name in found.items() if name}

    def about_to(self, request: Request) -> None:
        """Something is about to be carried out: note whose sessions a sign-out may end."""
        for command in request.commands:
            if command.operation == "sign_out":
                team, user = self._team_of(command.key), command.arguments[_GUARD].decode()
                found = self._world.stored(team, user)
                self._held_before = {session for _, session in found.holds} if found else set()

    def _signed_out(self, team: str, order: Sequence[str]) -> None:
        user, session, *_ = order
        if session:
            self._ended[team, user, session] = FOREVER
            return
        found = self._world.stored(team, user)
        still = {each for _, each in found.holds} if found else set()
        for each in self._held_before - still:
            self._ended[team, user, each] = max(self._ended.get((team, user, each), NEVER), self._now // 1000 - 1)

    def carried_out(self, node: Node, request: Request, replies: Sequence[Any]) -> None:
        """Something was carried out."""
        for command, reply in zip(request.commands, replies, strict=True):
            if command.operation == "claim" and command.key == self._keys.due:
                self._claimed(node, command.arguments[0].decode(), reply[0] == 1)
            elif command.operation == "hold" and reply[0] == b"ok":
                self._held(
                    self._team_of(command.key), command.arguments, reply[-(len(command.arguments) - _GUARD) // 7 :]
                )

    def _claimed(self, node: Node, name: str, alive: bool) -> None:
        now = self._now
        if now - self._contact_ms > GAP_MS:
            self._outage = (self._contact_ms, now)
            for each, until in self._vouched.items():
                if until > self._contact_ms:
                    self._limits[each] = now + self._world.settings.lease_ttl_ms
        self._contact_ms = now
        if alive:
            node.name = name
            self._vouched[name] = now + self._world.settings.lease_ttl_ms

    def _held(self, team: str, arguments: Sequence[bytes], reply: Sequence[Any]) -> None:
        me, tellings = arguments[0].decode(), arguments[_GUARD:]
        answers = reply[-(len(tellings) // 7) :]
        for at in range(0, len(tellings), 7):
            user, session, opened = tellings[at].decode(), tellings[at + 1].decode(), int(tellings[at + 2])
            if opened > 0 and answers[at // 7]:
                self._told[team, user, session] = me

    def rolled_back(self, of: str) -> None:
        """Redis has lost something, with the hash tag `of` or, empty, of everything."""
        self.rolled_back_ms, self.lossy = self._now, True
        self._versions.clear()
        if of != "due":
            # What was lost may be done once more, and a sign-out may be among it.
            self._chosen.clear()
            self._ended = {key: till for key, till in self._ended.items() if till == FOREVER and self._is_out(key)}
        if not of:
            self._vouched.clear()
        if of in ("", "due") and not self._world.client.exists(f"{self._keys.due}:clock"):
            self._born_ms = self._now

    def _is_out(self, key: tuple[str, str, str]) -> bool:
        return bool(self._world.client.exists(self._keys.signed_out(key[1], key[2])))

    def _team_of(self, key: str) -> str:
        return key[key.index("{") + 1 : key.index("}")]

    # --- what is published --------------------------------------------------------------------------------------------

    def heard(self, channel: str, raw: bytes) -> None:
        """A message was published."""
        if not channel.endswith(self._keys.feed_suffix):
            return
        team, message = self._keys.team_of_feed(channel), orjson.loads(raw)
        epoch, version = message["epoch"], message["version"]
        known = self._versions.get(team)
        if known is not None and known[0] == epoch and (version <= known[1] or message["previous"] < known[1]):
            raise Violation(f"Expected versions of {team} to rise from {known[1]}, got {message}")
        self._versions[team] = epoch, version
        if "signed_out" in message:
            self._signed_at[team, message["signed_out"][0]] = self._now
        for user, _, before, status, _, reason, chosen, by in message.get("changes", ()):
            self._changed(team, user, before, status, reason, chosen, by)

    def _changed(
        self, team: str, user: str, before: str, status: str, reason: str, chosen: str, by: str | None
    ) -> None:
        self.history[team, user].append((status, reason))
        if by == user and reason != "signed_out":
            self._chosen[team, user, chosen] += 1
            if self._chosen[team, user, chosen] > self._asked[team, user, chosen]:
                raise Violation(f"Expected each choice once, got {chosen} of {user} in {team} twice")
        if status == OFFLINE and before != OFFLINE:
            if reason == "idle":
                self._went_idle(team, user)
            elif reason == "disconnected" and self._now - self.rolled_back_ms > 2 * self._world.settings.lease_ttl_ms:
                self._went_away(team, user)

    def _went_idle(self, team: str, user: str) -> None:
        found = self._world.stored(team, user)
        assert found is not None
        idle_ms, lease_ms = self._world.idle_ms, self._world.settings.lease_ttl_ms
        start, end = self._outage
        if start < found.active_ms + idle_ms <= end and self._now < end + lease_ms // 3:
            for node, hold in self.holds(team, user):
                if node.running and hold.version and hold.active_s * 1000 + idle_ms > self._now:
                    raise Violation(f"Expected nobody to idle in an outage, got {user}, who was active on {node.slot}")

    def _went_away(self, team: str, user: str) -> None:
        for tab in self._world.tabs():
            ended = self._ended.get((team, user, tab.session), NEVER) >= tab.issued_at_s
            if tab.user != user or team not in tab.teams or ended:
                continue
            if tab.open and self._vouches(tab, team):
                raise Violation(f"Expected {user} to be shown in {team}: he has a tab on {tab.node.slot}, which lives")
            if tab.lost and team in tab.holders and self._is_cut_short(tab, team):
                raise Violation(f"Expected {user} to be forgiven in {team}, got him offline")

    def _vouches(self, tab: Tab, team: str) -> bool:
        """Whether the word of a tab's worker still lasts, and the team was told of it."""
        name = self._told.get((team, tab.user, tab.session), "")
        known = any(hold.session == tab.session for _, hold in self.holds(team, tab.user) if hold.version)
        return known and name == tab.node.name and self._now < self.word_of(name)

    def _is_cut_short(self, tab: Tab, team: str) -> bool:
        assert tab.closed_ms is not None
        forgiven = tab.closed_ms > self._signed_at.get((team, tab.user), NEVER)
        # Else what was left of the worker's lease was the grace.
        stands = self.word_of(tab.holders[team]) > self._now
        return forgiven and stands and self._now < tab.closed_ms + self._world.grace_ms

    def word_of(self, name: str) -> int:
        """Until when a worker's word is good: its lease, and one more if that ended while nobody swept (rule 10)."""
        until = self._vouched.get(name, NEVER)
        start, end = self._outage
        return end + self._world.settings.lease_ttl_ms if start < until <= end else until

    def holds(self, team: str, user: str) -> list[tuple[Node, Hold]]:
        """The holds of a user in a team, on all workers that live."""
        nodes = [node for node in self._world.nodes.values() if node.crashed_ms is None]
        return [(node, hold) for node in nodes for hold in node.holds(team) if hold.user == user]

    # --- what stands in Redis -----------------------------------------------------------------------------------------

    def look(self) -> None:
        """See that nobody stands there who may not, at this instant."""
        for team in self._world.teams:
            for user in self.users:
                found = self._world.stored(team, user)
                if found is not None:
                    self._check_signed_out(team, user, found)
                    self._check_input(user, found)
                    self._check_ghost(team, user, found)

    def _check_signed_out(self, team: str, user: str, found: Stored) -> None:
        for _, session in found.holds:
            newest = max(
                (tab.issued_at_s for tab in self._world.tabs() if (tab.user, tab.session) == (user, session)),
                default=NEVER,
            )
            if self._ended.get((team, user, session), NEVER) >= newest:
                raise Violation(f"Expected a sign-out to be final, got session {session} of {user} in {team} again")

    def _check_input(self, user: str, found: Stored) -> None:
        newest = self._newest.get(user, 0)
        if not self.lossy and found.active_ms > newest:
            raise Violation(f"Expected {user} active at {newest} last, got {found.active_ms}")

    def _check_ghost(self, team: str, user: str, found: Stored) -> None:
        """Whoever is shown has a connection, or a grace, or a worker whose lease lasts."""
        lease_ms = self._world.settings.lease_ttl_ms
        since = max(self.rolled_back_ms, self._born_ms)
        if self._now <= since + 3 * lease_ms + SLACK_MS and since > NEVER and self.lossy:
            return
        late = any(node.wire.late for node in self._world.all_nodes)
        if found.status == OFFLINE or found.grace_ms > self._now - SLACK_MS or late:
            return
        if any(tab.open and tab.user == user for tab in self._world.tabs()):
            return
        ends = [max(self._vouched.get(name, self._now), self._limits.get(name, NEVER)) for name, _ in found.holds]
        if max([*ends, self._outage[1]]) + GAP_MS + SLACK_MS < self._now:
            raise Violation(f"Expected nobody of {user} in {team}, got {found}")
