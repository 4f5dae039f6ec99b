"""Workers that are killed or stand still, and what teammates see of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.timing import GRACE_S, LEASE_S, NOTICE_S, SLACK_S, SOON_S
from tests.support.valkey import Valkey


async def test_users_of_a_killed_worker_who_come_back_are_never_shown_offline(new_site: NewSite) -> None:
    """kill -9: who reconnects within the lease stays online for all; who does not is offline within lease + 1.5 s."""
    site = await new_site(workers=2)
    maria = await site.connect("maria", on=0)
    people = {f"user{number}": await site.connect(f"user{number}", on=1) for number in range(10)}
    await people["user0"].choose("busy")
    await maria.sees("user0", "busy")
    await maria.sees_all({"maria": "online", **dict.fromkeys(people, "online"), "user0": "busy"})
    killed_at = (await site.connect("clock")).welcome["server_time"]
    site.workers[1].kill()
    back = [user for number, user in enumerate(people) if number % 2 == 0]
    gone = [user for user in people if user not in back]
    for user in back:
        await people[user].closed(1006)
        await site.connect(user, on=0, resume_from=people[user], replaces=people[user].id)
    for user in gone:
        told = await maria.sees(user, "offline", reason="disconnected", within_s=LEASE_S + NOTICE_S + SLACK_S)
        assert told.at_ms <= killed_at + (LEASE_S + NOTICE_S + SLACK_S) * 1_000
    await maria.quiet_for(LEASE_S)
    for user in back:
        maria.never_saw(user, "offline")
    assert maria.view().history("user0")[-2:] == ["online", "busy"]


async def test_a_killed_worker_that_restarts_takes_its_users_back(new_site: NewSite) -> None:
    """Killed and started again at the same address, as a supervisor does: its clients come back, nobody sees it."""
    # A process takes a second or more to start on a busy machine.
    site = await new_site(workers=2, lease_ttl=3 * LEASE_S)
    maria = await site.connect("maria", on=0)
    juan = await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    quiet = asyncio.create_task(maria.quiet_for(2 * LEASE_S, about="juan"))
    site.workers[1].kill()
    await juan.closed(1006)
    await asyncio.to_thread(site.workers[1].start)
    again = await site.connect("juan", on=1, resume_from=juan)
    await quiet
    await again.choose("busy")
    await maria.sees_soon("juan", "busy")


async def test_the_last_worker_killed_leaves_no_ghosts(new_site: NewSite) -> None:
    """Everything is killed and one worker starts again: who does not come back is offline after one more lease."""
    site = await new_site(workers=2)
    for number in range(6):
        await site.connect(f"user{number}", on=number % 2)
    for worker in site.workers:
        worker.kill()
    await asyncio.to_thread(site.workers[0].start)
    maria = await site.connect("maria", on=0)
    await maria.sees_all({"maria": "online"}, within_s=2 * LEASE_S + NOTICE_S + SLACK_S)
    for number in range(6):
        detail = await site.admin().user(f"user{number}")
        assert (detail["status"], detail["reason"], detail["connections"]) == ("offline", "disconnected", 0)


async def test_a_worker_that_stands_still_beyond_its_lease(new_site: NewSite) -> None:
    """SIGSTOP: its users go offline for the others; when it wakes up it joins them again, and all views agree."""
    site = await new_site(workers=2)
    maria = await site.connect("maria", on=0)
    people = {f"user{number}": await site.connect(f"user{number}", on=1) for number in range(5)}
    await people["user0"].choose("busy")
    await maria.sees("user0", "busy")
    site.workers[1].pause()
    within_s = LEASE_S + NOTICE_S + SLACK_S
    for user in people:
        await maria.sees(user, "offline", reason="disconnected", within_s=within_s)
    site.workers[1].resume()
    for user in people:
        await maria.sees(user, "busy" if user == "user0" else "online", within_s=SOON_S)
    await site.converges(within_s=SOON_S)
    for client in people.values():
        assert client.close_code is None
    await maria.quiet_for(LEASE_S + GRACE_S)


async def test_a_worker_that_stands_still_within_its_lease_shows_nothing(new_site: NewSite) -> None:
    """A pause of a third of the lease, of a collector or a laptop's lid, is nothing."""
    site = await new_site(workers=2)
    maria = await site.connect("maria", on=0)
    await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    for _ in range(3):
        site.workers[1].pause()
        await maria.quiet_for(LEASE_S / 3)
        site.workers[1].resume()
        await maria.quiet_for(LEASE_S / 3)


async def test_who_signed_out_while_a_worker_stood_still_is_closed_when_it_wakes(new_site: NewSite) -> None:
    """A session ends on every worker, also on one that hears of it a lease late: 4506, and never online again."""
    site = await new_site(workers=2)
    sid = site.unique("laptop")
    maria = await site.connect("maria", on=0)
    asleep: Client = await site.connect("juan", on=1, sid=sid)
    awake = await site.connect("juan", on=0, sid=sid)
    await maria.sees("juan", "online")
    site.workers[1].pause()
    await awake.logout()
    await maria.sees("juan", "offline")
    await maria.quiet_for(LEASE_S + NOTICE_S, about="juan")
    quiet = asyncio.create_task(maria.quiet_for(LEASE_S + NOTICE_S, about="juan"))
    site.workers[1].resume()
    await asleep.closed(4506)
    await quiet


async def test_who_is_gone_before_he_is_in_is_no_ghost(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """His connection ends while Redis is being asked whether his session has signed out."""
    valkey = new_valkey()
    site = await new_site(valkey=valkey)
    maria = await site.connect("maria")
    valkey.pause()
    try:
        people = [await site.connect(f"user{n}", settled=False, sid=site.unique(f"s{n}")) for n in range(10)]
        # Its answer tells that the hello, too, has been looked at.
        await asyncio.gather(*[await person.connection.ping() for person in people])
        for person in people:
            person.connection.transport.abort()

        async def open_connections() -> object:
            answer = await site.api(None).request("GET", "/metrics")
            return re.findall(r"^presence_connections (\S+)", answer.text, re.MULTILINE)

        await becomes(open_connections, ["1.0"])
    finally:
        valkey.resume()
    await maria.quiet_for(LEASE_S)
    assert await site.admin().statuses() == {"maria": "online"}
