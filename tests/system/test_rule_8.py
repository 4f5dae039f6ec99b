"""Section 2 of the contract, rule 8: each change is told exactly once, in order, with its reason.

That versions rise, that no change is told twice and that nothing is told without a change is checked by every client
of every test (see tests/support/view.py); here are the cases that would break it.
"""

from __future__ import annotations

import asyncio

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.site import Site
from tests.support.timing import SOON_S, UNIT
from tests.support.view import Told


async def _watchers(site: Site) -> list[Client]:
    return [await site.connect(name, on=number % 2) for number, name in enumerate(("maria", "ana", "luz"))]


def _of_juan(client: Client) -> list[Told]:
    return [told for told in client.view().told if told.user == "juan"]


async def test_rule_8_every_reason_is_told_once_to_everyone_in_order(site: Site) -> None:
    """Signed in, chosen, forced, idle, active, disconnected, signed out: the same story on every worker."""
    watchers = await _watchers(site)
    await site.admin().set_idle_timeout(2)
    async with watchers[0].typing(), watchers[1].typing(), watchers[2].typing():

        async def all_see(status: str, reason: str) -> None:
            for watcher in watchers:
                await watcher.sees("juan", status, reason=reason)

        juan = await site.connect("juan", on=1)
        await all_see("online", "signed_in")
        await juan.choose("busy")
        await all_see("busy", "chosen")
        await site.admin().choose("juan", "online")
        await all_see("online", "forced")
        await all_see("offline", "idle")
        await juan.beat(0)
        await all_see("online", "active")
        await juan.drop()
        await all_see("offline", "disconnected")
        juan = await site.connect("juan", on=0)
        await all_see("online", "signed_in")
        await juan.logout()
        await all_see("offline", "signed_out")
    stories = [[(t.status, t.reason, t.since, t.version) for t in _of_juan(watcher)] for watcher in watchers]
    assert stories[0] == stories[1] == stories[2]
    assert [reason for _, reason, _, _ in stories[0]] == [
        "signed_in", "chosen", "forced", "idle", "active", "disconnected", "signed_in", "signed_out",
    ]  # fmt: skip


async def test_rule_8_the_user_himself_is_told_too(site: Site) -> None:
    """Every connection includes the user's own: choosing, idling and being back show in his own view."""
    await site.admin().set_idle_timeout(1)
    juan = await site.connect("juan")
    await juan.choose("busy")
    await juan.sees("juan", "busy", reason="chosen")
    await juan.sees("juan", "offline", reason="idle")
    await juan.beat(0)
    await juan.sees("juan", "busy", reason="active")


async def test_rule_8_a_shortened_timeout_gives_the_reason_settings(site: Site) -> None:
    """Who is offline because the timeout was changed is so with the reason settings, and back by it as well."""
    maria = await site.connect("maria", idle_ms=0)
    await site.connect("juan", on=1, idle_ms=30_000)
    await maria.sees("juan", "online")
    async with maria.typing():
        await site.admin().set_idle_timeout(20)
        await maria.sees_soon("juan", "offline", reason="settings")
        await site.admin().set_idle_timeout(600)
        await maria.sees_soon("juan", "online", reason="settings")


async def test_rule_8_no_change_no_message(site: Site) -> None:
    """Heartbeats, further tabs and choosing what is chosen tell teammates nothing."""
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan")
    await maria.sees("juan", "online")
    await juan.choose("busy")
    await maria.sees("juan", "busy")
    quiet = asyncio.create_task(maria.quiet_for(3 * UNIT))
    for idle_ms in (0, 0, 5_000, 100):
        await juan.beat(idle_ms)
    await juan.choose("busy")
    await site.api("juan").choose("juan", "busy")
    await site.admin().choose("juan", "busy")
    second = await site.connect("juan", on=1)
    await second.leave()
    await site.admin().set_idle_timeout(500)
    await quiet


async def test_rule_8_since_is_when_it_was_committed(site: Site) -> None:
    """`since` lies between asking for the change and its acknowledgement, by Redis's clock."""
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan")
    await maria.sees("juan", "online")
    before = (await site.connect("clock")).welcome["server_time"]
    await juan.choose("busy")
    after = (await site.connect("clock")).welcome["server_time"]
    told = await maria.sees("juan", "busy")
    assert told.since is not None
    assert before <= told.since <= after


async def test_rule_8_changes_in_one_window_are_told_as_the_newest_alone(site: Site) -> None:
    """Forty flips in a moment come as a few messages that end with the last choice, on every worker."""
    watchers = await _watchers(site)
    juan = await site.connect("juan", on=1)
    for watcher in watchers:
        await watcher.sees("juan", "online")
    for number in range(40):
        await juan.send("set_status", id=f"flip-{number}", status="online" if number % 2 else "busy")
    await juan.send("set_status", id="last", status="busy")
    assert (await juan.answer("last"))["type"] == "ack"
    for watcher in watchers:
        await watcher.sees("juan", "busy", reason="chosen")
        await watcher.quiet_for(0.7, about="juan")
        told = len(_of_juan(watcher))
        assert told <= 12, f"Expected the flips to be told together, got {told} messages"


async def test_rule_8_the_first_change_after_quiet_goes_out_at_once(new_site: NewSite) -> None:
    """PRESENCE_COALESCE: with a window of a second the first change is not held up, those that follow come as one."""
    site = await new_site(workers=2, coalesce=1)
    maria = await site.connect("maria")
    juan, ana = await site.connect("juan", on=1), await site.connect("ana", on=1)
    await maria.sees_all({"maria": "online", "juan": "online", "ana": "online"})
    await maria.quiet_for(1.5)
    await juan.choose("busy")
    first = await maria.sees("juan", "busy", within_s=0.8)
    await juan.choose("online")
    await ana.choose("busy")
    last = await maria.sees("juan", "online")
    assert (await maria.sees("ana", "busy")).version == last.version > first.version
    assert len([m for m in maria.of_type("delta") if m["version"] > first.version]) == 1


async def test_rule_8_every_watcher_is_told_the_same_versions_in_a_busy_team(site: Site) -> None:
    """Many people changing at once on two workers: all end alike, and every view was built from rising versions."""
    watchers = await _watchers(site)
    people = await asyncio.gather(*(site.connect(f"user{number}", on=number % 2) for number in range(20)))

    async def flip(person: Client, number: int) -> None:
        for turn in range(10):
            await person.choose("busy" if (turn + number) % 2 else "online")

    await asyncio.gather(*(flip(person, number) for number, person in enumerate(people)))
    await site.converges()
    versions = {watcher.view().version for watcher in watchers}
    assert len(versions) == 1
    final = watchers[0].view().statuses()
    assert {final[f"user{number}"] for number in range(0, 20, 2)} == {"busy"}
    assert {final[f"user{number}"] for number in range(1, 20, 2)} == {"online"}


async def test_rule_8_the_version_of_a_read_is_that_of_the_views(site: Site) -> None:
    """HTTP names the same epoch and version as the feed: a backend may compare."""
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    await juan.choose("busy")
    await maria.sees("juan", "busy")
    for on in (0, 1):
        read = await site.api("maria", on=on).presence()
        assert (read["epoch"], read["version"]) == (maria.view().epoch, maria.view().version)


async def test_rule_8_an_absence_ends_and_begins_with_one_message_each(site: Site) -> None:
    """Ten people sign in and out together: each is told as online once and as offline once."""
    maria = await site.connect("maria", on=1)
    people = await asyncio.gather(*(site.connect(f"user{number}", on=number % 2) for number in range(10)))
    for number in range(10):
        await maria.sees(f"user{number}", "online")
    await asyncio.gather(*(person.logout() for person in people))
    await maria.sees_all({"maria": "online"}, within_s=SOON_S)
    await maria.quiet_for(0.7)
    for number in range(10):
        assert maria.view().history(f"user{number}") == ["online", "offline"]
