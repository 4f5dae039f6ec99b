"""Section 5 of the contract: coming back with `resume`, and snapshots in several messages."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.client import Client
from tests.support.site import Site
from tests.support.timing import SOON_S


def _first_of_team(client: Client) -> str:
    """The type of the message that answered hello for the team."""
    return next(str(message["type"]) for message in client.messages if message["type"] in ("snapshot", "delta"))


async def test_resume_is_answered_by_what_changed_since(site: Site) -> None:
    """Away for a moment: a delta with those who changed, once each, newest state, the ones now offline included."""
    people = {name: await site.connect(name) for name in ("juan", "ana", "luz", "eva")}
    maria = await site.connect("maria")
    await maria.sees_all(dict.fromkeys(["maria", *people], "online"))
    await maria.drop()
    await people["juan"].choose("busy")
    await people["ana"].choose("busy")
    await people["ana"].choose("online")
    await people["luz"].logout()
    # The close comes at once, the ack of a choice afterwards: this one is in Redis.
    await people["eva"].sees("luz", "offline")
    again = await site.connect("maria", on=1, resume_from=maria)
    assert _first_of_team(again) == "delta"
    first = again.of_type("delta")[0]["users"]
    assert {user: entry["status"] for user, entry in first.items()} == {
        "juan": "busy",
        "ana": "online",
        "luz": "offline",
    }
    await again.sees_all({"maria": "online", "juan": "busy", "ana": "online", "eva": "online"})


@pytest.mark.parametrize("on", [0, 1])
async def test_resume_without_changes_is_an_empty_delta(site: Site, on: int) -> None:
    """Nothing happened: a delta without users, at the same version."""
    await site.connect("juan", on=1)
    maria = await site.connect("maria")
    await maria.sees_all({"maria": "online", "juan": "online"})
    await maria.drop()
    again = await site.connect("maria", on=on, resume_from=maria)
    assert _first_of_team(again) == "delta"
    assert again.of_type("delta")[0]["users"] == {}
    assert again.view().statuses() == {"maria": "online", "juan": "online"}


async def test_resume_of_another_epoch_is_answered_by_a_snapshot(site: Site) -> None:
    """An epoch that is not the current one cannot be continued."""
    juan = await site.connect("juan")
    version = juan.view().version
    maria = await site.connect("maria", resume={site.team: {"epoch": "no-such-epoch", "version": version}})
    assert _first_of_team(maria) == "snapshot"


async def test_resume_of_a_version_that_never_was_is_answered_by_a_snapshot(site: Site) -> None:
    """A version beyond the newest cannot be continued from; the connection must not wait for it."""
    juan = await site.connect("juan")
    point = {"epoch": juan.view().epoch, "version": juan.view().version + 1_000}
    stranger = await site.open()
    await stranger.send("hello", token=site.token("maria"), resume={site.team: point})
    await stranger.settled(within_s=SOON_S)
    assert _first_of_team(stranger) == "snapshot"


async def test_resume_with_a_watch_list_is_answered_by_a_snapshot(site: Site) -> None:
    """Where a watch list stands, the view begins anew."""
    await site.connect("juan")
    maria = await site.connect("maria")
    await maria.drop()
    again = await site.connect("maria", resume_from=maria, watch={site.team: ["juan"]})
    assert _first_of_team(again) == "snapshot"
    assert again.view().statuses() == {"maria": "online", "juan": "online"}


async def test_resume_per_team(site: Site) -> None:
    """A team that is resumed gets a delta, one that is not a snapshot; a foreign team is not answered at all."""
    other = site.unique("other")
    maria = await site.connect("maria", teams=[site.team, other])
    point = maria.view(site.team).resume_point()
    again = await site.connect(
        "maria", teams=[site.team, other], resume={site.team: point, site.unique("foreign"): point}
    )
    types = {m["team"]: m["type"] for m in again.of_type("snapshot", "delta") if m["team"] in (site.team, other)}
    assert types == {site.team: "delta", other: "snapshot"}
    assert {message["team"] for message in again.of_type("snapshot", "delta")} == {site.team, other}


async def test_resuming_again_and_again_loses_and_repeats_nothing(site: Site) -> None:
    """A client that flaps between two workers while others change: its view is right, each change told once."""
    juan = await site.connect("juan", on=0)
    maria = await site.connect("maria", on=1)
    await maria.sees("juan", "online")

    async def change() -> None:
        for turn in range(40):
            await juan.choose("online" if turn % 2 else "busy")
            await asyncio.sleep(0.05)

    changing = asyncio.create_task(change())
    for turn in range(12):
        await maria.drop()
        maria = await site.connect("maria", on=turn % 2, resume_from=maria)
        assert _first_of_team(maria) == "delta"
    await changing
    await maria.sees_soon("juan", "online", reason="chosen")
    await site.converges()


async def test_either_answer_contains_what_was_acknowledged_before(site: Site) -> None:
    """Acknowledged on one worker, resumed on the other right after: the first delta has it."""
    juan = await site.connect("juan", on=0)
    maria = await site.connect("maria", on=1)
    await maria.sees("juan", "online")
    for turn in range(10):
        await maria.drop()
        status = "online" if turn % 2 else "busy"
        await juan.choose(status)
        maria = await site.connect("maria", on=1, resume_from=maria)
        assert maria.of_type("delta")[0]["users"]["juan"]["status"] == status


async def test_a_snapshot_lists_everyone_but_the_offline_ones(site: Site) -> None:
    """The user himself is in it; who signed out before is not."""
    gone = await site.connect("ana")
    await gone.logout()
    await (await site.connect("juan", on=1)).choose("busy")
    maria = await site.connect("maria")
    assert maria.view().statuses() == {"maria": "online", "juan": "busy"}


async def test_a_large_snapshot_comes_in_several_messages(site: Site) -> None:
    """Hundreds of people with long names: messages of one version, all but the last with more, that add up."""
    names = [f"user{number:04}-" + "x" * 110 for number in range(700)]
    slots = asyncio.Semaphore(40)

    async def join(number: int, name: str) -> Client:
        async with slots:
            # Narrowed, for the sake of the machine: seven hundred views of seven hundred people are half a million.
            return await site.connect(name, on=number % 2, watch={site.team: []})

    people = await asyncio.gather(*(join(number, name) for number, name in enumerate(names)))
    maria = await site.connect("maria", on=1)
    assert maria.view().statuses() == dict.fromkeys([*names, "maria"], "online")
    parts = maria.of_type("snapshot")
    assert len(parts) > 1
    assert [bool(part.get("more")) for part in parts] == [True] * (len(parts) - 1) + [False]
    assert len({(part["epoch"], part["version"]) for part in parts}) == 1
    await asyncio.gather(*(person.leave() for person in people))
