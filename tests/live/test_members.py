"""Who is here: connections and the holds that stand for them, given back on every way out."""

from __future__ import annotations

import pytest

from presence_server.core.codes import CloseCode
from presence_server.core.connection import State
from presence_server.live.connection import Connection, Membership
from presence_server.live.counters import Counters
from presence_server.live.members import Members
from presence_server.store.hold import Hold
from tests.live.following import Line
from tests.store.support import becomes_true


class Rooms:
    """A room of every team, and who is there; nobody is told apart."""

    def __init__(self) -> None:
        self.discarded: list[Connection] = []

    def discard(self, connection: Connection) -> None:
        self.discarded.append(connection)

    block = unblock = discard


class Here:
    """Members, and what they tell of holds: user, session, open connections, and whether it ended.

    Attributes:
        watched: the connections that somebody keeps time for.
    """

    def __init__(self, per_user: int = 3) -> None:
        self.told: list[tuple[str, str, int, bool]] = []
        self.watched: set[Connection] = set()
        self.counters = Counters()
        self.rooms = Rooms()
        self.members = Members(self, self, self.counters, per_user, lambda: 100.0)

    def let_go(self, hold: Hold) -> None:
        self.told.append((hold.user, hold.session, hold.connections, hold.ended))

    def add(self, connection: Connection, now_s: float) -> None:
        assert now_s == 100.0
        self.watched.add(connection)

    def discard(self, connection: Connection) -> None:
        self.watched.discard(connection)

    def come(self, user: str = "maria", session: str = "s1", *teams: str, active_s: float = 0.0) -> Connection:
        """A connection comes in, and into these teams."""
        connection = self.members.accept(Line())
        self.members.admit(connection, user, session)
        for team in teams or ("acme",):
            self.join(connection, team, active_s)
        connection.opened(teams or ("acme",))
        return connection

    def join(self, connection: Connection, team: str = "acme", active_s: float = 0.0) -> Membership:
        return self.members.join(connection, self.rooms, team, active_s, 7.0)

    def hold(self, connection: Connection, version: int = 5) -> Hold:
        [membership] = connection.memberships
        membership.hold.version = version
        return membership.hold


def line(connection: Connection) -> Line:
    assert isinstance(connection.socket, Line)
    return connection.socket


@pytest.fixture
def here() -> Here:
    return Here()


async def test_connections_are_known_by_user_the_oldest_first(here: Here) -> None:
    first, second, other = here.come(), here.come(), here.come("juan")
    assert len(here.members) == 3
    assert here.members.all() == [first, second, other]
    assert here.members.of_user("maria") == [first, second]
    assert here.members.of_user("nobody") == []
    assert len({connection.id for connection in (first, second, other)}) == 3
    assert all(connection.id.startswith(f"{here.members.id}-") for connection in here.members.all())
    assert here.watched == {first, second, other}


async def test_connections_of_a_session_share_a_hold(here: Here) -> None:
    first, second = here.come(active_s=5.0), here.come(active_s=3.0)
    hold = here.hold(first)
    assert here.hold(second) is hold
    assert (hold.connections, hold.active_s, hold.is_new, hold.issued_at_s) == (2, 5.0, True, 7.0)
    other = here.come(session="s2")
    assert here.members.holds_of("acme") == [hold, here.hold(other)]
    assert here.members.teams() == ["acme"]


async def test_each_loss_is_told_and_the_last_ends_the_hold(here: Here) -> None:
    first, second = here.come(), here.come()
    for connection in (first, second):
        here.members.end(connection, 4001, "draining")
    assert here.told == [("maria", "s1", 1, False), ("maria", "s1", 0, False)]
    assert (here.members.holds_of("acme"), here.members.teams(), len(here.members)) == ([], [], 0)
    assert here.watched == set()
    assert here.rooms.discarded == [first, second]
    assert line(first).closed == (4001, "draining")
    assert here.counters.connections_closed == {4001: 2}
    assert here.members.of_user("maria") == []


async def test_an_end_is_once(here: Here) -> None:
    connection = here.come()
    here.members.end(connection, 4001, "first")
    here.members.end(connection, 4005, "second")
    assert line(connection).closed == (4001, "first")
    assert len(here.told) == 1


async def test_one_that_was_lost_is_silent_at_once_and_given_back_in_its_turn(here: Here) -> None:
    connection = here.come()
    here.members.silence(connection)
    assert (connection.is_open, here.told, here.rooms.discarded) == (False, [], [connection])
    here.members.forget(connection, 1006)
    assert here.told == [("maria", "s1", 0, False)]
    assert line(connection).closed is None


async def test_one_that_never_said_hello_is_given_back_too(here: Here) -> None:
    connection = here.members.accept(Line())
    here.members.end(connection, 4002, "no hello")
    assert (len(here.members), here.told) == (0, [])


async def test_one_more_than_allowed_ends_the_users_oldest(here: Here) -> None:
    connections = [here.come(session=f"s{number}") for number in range(4)]
    assert [connection.is_open for connection in connections] == [False, True, True, True]
    assert line(connections[0]).closed == (4504, CloseCode.REPLACED.reason)
    assert here.counters.refusals == {"4504": 1}


async def test_a_tab_ends_its_own_previous_connection_and_nobody_elses(here: Here) -> None:
    marias, juans = here.come(), here.come("juan")
    here.members.replaced("maria", juans.id)
    here.members.replaced("maria", "unknown")
    assert juans.is_open
    here.members.replaced("maria", marias.id)
    assert line(marias).closed is not None
    assert line(marias).closed[0] == CloseCode.REPLACED  # type: ignore[index]


@pytest.mark.parametrize("code", [CloseCode.INTERNAL_ERROR, CloseCode.TOO_SLOW])
async def test_who_does_not_react_is_cut_off_after_a_last_word(
    here: Here, code: CloseCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("presence_server.live.members._LAST_WORDS_S", 0.01)
    connection = here.come()
    here.members.end(connection, code, "why")
    assert not line(connection).aborted
    await becomes_true(lambda: line(connection).aborted)


# --- leaving, and being signed out ------------------------------------------------------------------------------------


async def test_leaving_a_team_is_forgiven_like_a_loss(here: Here) -> None:
    connection = here.come("maria", "s1", "acme", "bell")
    here.members.leave(connection, connection.memberships[0])
    assert connection.teams == ("bell",)
    assert here.told == [("maria", "s1", 0, False)]
    assert here.members.teams() == ["bell"]
    assert connection.is_open


async def test_signed_out_of_its_last_team_a_connection_ends(here: Here) -> None:
    both, one = here.come("maria", "s1", "acme", "bell"), here.come("maria", "s1")
    hold = both.memberships[0].hold
    here.members.refuse(hold)
    assert (both.teams, both.is_open) == (("bell",), True)
    assert line(one).closed == (4506, CloseCode.SIGNED_OUT.reason)
    assert here.told == [("maria", "s1", 2, True)]
    # Whatever else ends it later is no news.
    here.members.refuse(hold)
    here.members.end(both, 4001, "draining")
    assert here.told[1:] == [("maria", "s1", 0, False)]


async def test_one_still_on_its_way_in_finds_out_by_itself(here: Here) -> None:
    connection = here.members.accept(Line())
    here.members.admit(connection, "maria", "s1")
    membership = here.join(connection)
    here.members.refuse(membership.hold)
    assert connection.is_open
    assert connection.state is not State.OPEN
    assert connection.memberships == ()


@pytest.mark.parametrize(
    ("version", "session", "goes"), [(5, "s1", True), (9, "s1", False), (5, "s2", False), (5, "", True)]
)
async def test_what_ended_in_a_team_ends_holds_from_before_it(
    here: Here, version: int, session: str, goes: bool
) -> None:
    connection, other = here.come(), here.come("juan")
    here.hold(connection, version)
    here.hold(other, version)
    here.members.session_ended_in("acme", "maria", session, 8)
    assert connection.is_open is not goes
    assert other.is_open


async def test_a_join_under_way_meanwhile_remembers_it(here: Here) -> None:
    connection = here.come()
    hold = here.hold(connection, 0)
    here.members.session_ended_in("acme", "maria", "", 8)
    assert (hold.refused_at, connection.is_open) == (8, True)


async def test_a_session_that_signed_out_for_good_ends_everywhere_here(here: Here) -> None:
    both, same, other = here.come("maria", "s1", "acme", "bell"), here.come("maria", "s1"), here.come("maria", "s2")
    assert here.members.end_session("maria", "s1") == ["acme", "bell"]
    assert [connection.is_open for connection in (both, same, other)] == [False, False, True]
    assert {told[3] for told in here.told} == {True}
    assert len(here.told) == 2
    assert here.members.end_session("maria", "s1") == []


async def test_come_back_it_is_another_hold_and_the_late_end_of_the_first_leaves_it(here: Here) -> None:
    first = here.come()
    hold = here.hold(first)
    here.members.end_session("maria", "s1")
    again = here.come()
    assert here.hold(again) is not hold
    here.members.refuse(hold)
    here.members._drop(hold)
    assert here.members.holds_of("acme") == [here.hold(again)]
