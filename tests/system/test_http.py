"""Section 6 of the contract, call by call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.polling import becomes
from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SLACK_S, SOON_S, UNIT


async def test_presence_of_a_team(site: Site) -> None:
    """A member reads who is not offline, with status, since and reason, and the epoch and version of it."""
    await site.connect("maria")
    juan = await site.connect("juan", on=1)
    await juan.choose("busy")
    for on in (0, 1):
        read = await site.api("ana", on=on).presence()
        assert set(read) == {"team", "epoch", "version", "users"}
        assert read["team"] == site.team
        assert isinstance(read["epoch"], str)
        assert isinstance(read["version"], int)
        assert {user: entry["status"] for user, entry in read["users"].items()} == {"maria": "online", "juan": "busy"}
        assert read["users"]["juan"]["reason"] == "chosen"
        assert isinstance(read["users"]["juan"]["since"], int)


async def test_presence_filtered(site: Site) -> None:
    """`status` and `users` filter; with `users`, the offline ones are listed too."""
    await site.connect("maria")
    await (await site.connect("juan", on=1)).choose("busy")
    await (await site.connect("ana")).logout()
    api = site.api("maria")

    async def read(**query: str) -> dict[str, str]:
        users: dict[str, Any] = (await api.presence(**query))["users"]
        return {user: entry["status"] for user, entry in users.items()}

    assert await read(status="online") == {"maria": "online"}
    assert await read(status="busy") == {"juan": "busy"}
    assert await read(users="juan,ana,nobody") == {"juan": "busy", "ana": "offline", "nobody": "offline"}
    assert await read(users="juan") == {"juan": "busy"}
    assert await read(users="juan,ana,maria", status="busy") == {"juan": "busy"}
    assert await read(users="juan,ana,maria", status="offline") == {"ana": "offline"}


async def test_an_empty_team_is_an_empty_answer(site: Site) -> None:
    """A team nobody ever used can be read by its members."""
    read = await site.api("maria").presence()
    assert read["users"] == {}
    assert (await site.api("maria").settings())["idle_timeout"] == 600


async def test_a_user_for_teammates(site: Site) -> None:
    """Teammates read four fields, and none of what is private."""
    await site.connect("juan")
    read = await site.api("maria", on=1).user("juan")
    assert set(read) == {"user", "status", "since", "reason"}
    assert (read["user"], read["status"], read["reason"]) == ("juan", "online", "signed_in")


@pytest.mark.parametrize("who", ["himself", "administrator"])
async def test_a_user_for_himself_and_administrators(site: Site, who: str) -> None:
    """Also what was chosen, the last activity, the open connections, and what happens next and when."""
    await site.admin().set_idle_timeout(600)
    juan = await site.connect("juan", on=0)
    await site.connect("juan", on=1)
    await juan.choose("busy")
    api = site.api("juan", on=1) if who == "himself" else site.admin(on=1)
    read = await api.user("juan")
    assert (read["status"], read["reason"], read["chosen"], read["connections"]) == ("busy", "chosen", "busy", 2)
    # One instant, told to Redis twice as "so long ago": by the choice and by a renewal.
    assert abs(read["last_active"] - read["since"]) <= 1_000 * SLACK_S
    # All that can happen by itself is idling.
    assert abs(read["next_change_at"] - (read["last_active"] + 600_000)) <= 60_000 * UNIT
    assert "idle" in str(read["next_change"]) or "offline" in str(read["next_change"])


async def test_a_forgiven_user_is_about_to_be_disconnected(site: Site) -> None:
    """`next_change_at` of who lost his last connection is the end of the grace."""
    juan = await site.connect("juan")
    await juan.drop()

    async def open_connections() -> object:
        return (await site.admin().user("juan"))["connections"]

    await becomes(open_connections, 0)
    read = await site.admin().user("juan")
    now = (await site.connect("clock")).welcome["server_time"]
    assert read["status"] == "online"
    assert now < read["next_change_at"] <= now + GRACE_S * 1_000
    assert "disconnected" in str(read["next_change"]) or "offline" in str(read["next_change"])


async def test_a_user_never_seen(site: Site) -> None:
    """Offline, the rest null; no 404, for there is no list of users."""
    read = await site.api("maria").user("nobody")
    assert read == {"user": "nobody", "status": "offline", "since": None, "reason": None}
    read = await site.admin().user("nobody")
    assert (read.pop("user"), read.pop("status")) == ("nobody", "offline")
    assert set(read) == {"since", "reason", "chosen", "last_active", "connections", "next_change", "next_change_at"}
    assert [value for value in read.values() if value] == []


async def test_ids_are_percent_encoded(site: Site) -> None:
    """Ids with all allowed characters work in paths and queries."""
    team, user = f"a.b:c@d+e-{site.tag}", "j.u:a@n+x-1"
    juan = await site.connect(user, teams=[team])
    api = site.api(token=site.token(user, teams=[team]))
    api.team = team
    assert (await api.user(user))["status"] == "online"
    await api.choose(user, "busy")
    await juan.sees(user, "busy")
    assert set((await api.presence(users=user))["users"]) == {user}


async def test_put_by_himself_and_for_who_is_away(site: Site) -> None:
    """Reason chosen; who holds no connection stays offline, and is so remembered."""
    maria = await site.connect("maria", on=1)
    await site.api("juan").choose("juan", "busy")
    await maria.quiet_for(0.5)
    assert (await site.api("maria").user("juan"))["status"] == "offline"
    assert (await site.api("juan").user("juan"))["chosen"] == "busy"
    await site.connect("juan")
    await maria.sees_soon("juan", "busy", reason="signed_in")


async def test_delete_by_himself_signs_out_of_the_team_everywhere(site: Site) -> None:
    """At once on all workers, whatever the session: signed_out, and connections without a team left end with 4506."""
    maria = await site.connect("maria", on=1)
    tabs = [await site.connect("juan", on=n % 2, sid=site.unique(f"s{n}")) for n in range(3)]
    await maria.sees("juan", "online")
    await site.api("juan").sign_out("juan")
    await maria.sees_soon("juan", "offline", reason="signed_out")
    for tab in tabs:
        await tab.closed(4506)


async def test_delete_by_an_administrator_is_forced(site: Site) -> None:
    """The same with the reason forced, the forgiven connections included."""
    user = site.unique("juan")
    maria = await site.connect("maria", on=1)
    forgiven = await site.connect(user, on=0)
    await maria.sees(user, "online")
    open_ = await site.connect(user, on=1)
    await forgiven.drop()
    await site.admin().sign_out(user)
    await maria.sees_soon(user, "offline", reason="forced")
    await open_.closed(4506)
    assert (await site.admin().user(user))["connections"] == 0


async def test_delete_leaves_other_teams_alone(site: Site) -> None:
    """A connection that has another team stays for it, and tells no more of the one it was signed out of."""
    user, other = site.unique("juan"), site.unique("other")
    maria = await site.connect("maria", teams=[site.team, other], on=1)
    juan = await site.connect(user, teams=[site.team, other])
    await maria.sees(user, "online", team=other)
    await site.admin().sign_out(user)
    await maria.sees_soon(user, "offline", team=site.team, reason="forced")
    await maria.quiet_for(GRACE_S + NOTICE_S, team=other, about=user)
    assert juan.close_code is None
    await juan.choose("busy", team=other)
    await maria.sees_soon(user, "busy", team=other)
    await maria.quiet_for(0.5, team=site.team, about=user)
    await juan.fails("not_a_member", "set_status", status="busy", team=site.team)


async def test_delete_of_who_is_not_there(site: Site) -> None:
    """Signing out an absent user is no error and tells nobody anything."""
    maria = await site.connect("maria")
    await site.admin().sign_out(site.unique("nobody"))
    await site.api("ana").sign_out("ana")
    await maria.quiet_for(0.5)


async def test_the_timeout_holds_for_connected_users_at_once(site: Site) -> None:
    """A member reads it, an administrator writes it; every connection is told, and deadlines move."""
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan")
    assert (await site.api("maria").settings())["idle_timeout"] == 600
    await site.admin().set_idle_timeout(2)
    assert (await site.api("maria", on=1).settings())["idle_timeout"] == 2
    for client in (maria, juan):
        await client.expect("self", idle_timeout_ms=2_000)
    async with maria.typing():
        await maria.sees("juan", "offline", within_s=2 + NOTICE_S + SLACK_S)


@pytest.mark.parametrize("seconds", [1, 86_400])
async def test_the_timeout_from_a_second_to_a_day(site: Site, seconds: int) -> None:
    """The ends of the range are allowed."""
    await site.admin().set_idle_timeout(seconds)
    assert (await site.api("maria").settings())["idle_timeout"] == seconds


@pytest.mark.parametrize("seconds", [0, 0.5, -1, 86_401, 10**30, "300", True, [300], {"s": 1}])
async def test_the_timeout_out_of_range(site: Site, seconds: object) -> None:
    """Below a second, beyond a day, or no number: refused, and nothing changes."""
    response = await site.admin().request("PUT", "/v1/teams/{team}/settings", json={"idle_timeout": seconds})
    assert response.status_code in (400, 422)
    assert (await site.api("maria").settings())["idle_timeout"] == 600


async def test_healthz_and_readyz_are_for_anyone(site: Site) -> None:
    """Neither needs a token."""
    for path in ("/healthz", "/readyz"):
        assert (await site.api(None).request("GET", path)).status_code == 200


async def test_metrics_name_no_teams_or_users(site: Site) -> None:
    """Prometheus text for whoever reaches the port; what it counts is never a person."""
    user = site.unique("juan")
    juan = await site.connect(user)
    await juan.choose("busy")
    response = await site.api(None).request("GET", "/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(("text/plain", "application/openmetrics-text"))
    assert "# TYPE " in response.text
    assert site.team not in response.text
    assert user not in response.text


async def test_reads_see_what_was_acknowledged_on_another_worker(site: Site) -> None:
    """An HTTP write on one worker is in every read of the other, without waiting."""
    await site.connect("juan", on=0)
    for turn in range(10):
        status = "online" if turn % 2 else "busy"
        await site.api("juan", on=turn % 2).choose("juan", status)
        other = site.api("maria", on=1 - turn % 2)
        assert (await other.user("juan"))["status"] == status
        assert (await other.statuses())["juan"] == status
        await site.admin(on=turn % 2).set_idle_timeout(100 + turn)
        assert (await other.settings())["idle_timeout"] == 100 + turn


async def test_a_read_of_many_users(site: Site) -> None:
    """Hundreds of names in `users` in one request."""
    names = [f"user{number}" for number in range(300)]
    await site.connect("user7")
    read = (await site.api("maria").presence(users=",".join(names)))["users"]
    assert set(read) == set(names)
    assert [user for user, entry in read.items() if entry["status"] != "offline"] == ["user7"]


async def test_a_read_of_a_version_can_be_resumed(site: Site) -> None:
    """Epoch and version of an HTTP read are those of the feed: a client may go on from them."""
    await site.connect("juan")
    read = await site.api("maria").presence()
    maria = await site.connect("maria", on=1, resume={site.team: {"epoch": read["epoch"], "version": read["version"]}})
    assert maria.of_type("snapshot") == []
    assert set(maria.of_type("delta")[0]["users"]) == {"maria"}
    await maria.sees("maria", "online", within_s=SOON_S)
