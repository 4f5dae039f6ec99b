"""What hurts users of other presence systems, one test for each, named by its public report."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.proxy import RedisProxy
from tests.support.site import Site
from tests.support.timing import GRACE_S, LEASE_S, NOTICE_S, SLACK_S, SOON_S, UNIT
from tests.support.valkey import Valkey


async def test_a_hidden_tab_does_not_flap(new_site: NewSite) -> None:
    """chatwoot#13720, #5076: a hidden tab's timers run once a minute. Liveness is the server's ping, not a timer."""
    site = await new_site(heartbeat_interval=0.3, ping_interval=0.5 * UNIT, ping_timeout=0.5 * UNIT, idle_timeout=60)
    maria = await site.connect("maria")
    hidden = await site.connect("juan")
    await maria.sees("juan", "online")
    await maria.quiet_for(LEASE_S + GRACE_S + 2 * NOTICE_S, about="juan")
    assert hidden.close_code is None


async def test_ghosts_do_not_stay_after_a_crash_or_in_airplane_mode(new_site: NewSite) -> None:
    """Rocket.Chat#6610, #27145, sockudo#87: leases and pings end what has no life, without any restart."""
    site = await new_site(workers=2, ping_interval=0.5 * UNIT, ping_timeout=0.5 * UNIT)
    maria = await site.connect("maria", on=0)
    flying = await site.connect("juan", on=0)
    await site.connect("ana", on=1)
    await maria.sees_all({"maria": "online", "juan": "online", "ana": "online"})
    flying.freeze()
    site.workers[1].kill()
    await maria.sees("juan", "offline", within_s=UNIT + GRACE_S + NOTICE_S + SLACK_S)
    await maria.sees("ana", "offline", within_s=LEASE_S + NOTICE_S + SLACK_S)


async def test_cleaning_up_signs_no_active_user_out(new_site: NewSite) -> None:
    """Rocket.Chat PR#37855: a cleaner of ghosts met active users. Many leases pass beside a worker's end: none does."""
    site = await new_site(workers=3)
    people = [await site.connect(f"user{number}", on=number % 3) for number in range(9)]
    for person in people:
        await person.sees_all({f"user{number}": "online" for number in range(9)})
    site.workers[2].kill()
    living = [person for number, person in enumerate(people) if number % 3 != 2]
    left = {f"user{number}": "online" for number in range(9) if number % 3 != 2}
    for person in living:
        await person.sees_all(left, within_s=LEASE_S + NOTICE_S + SLACK_S)
    await asyncio.gather(*(person.quiet_for(2 * LEASE_S) for person in living))


async def test_a_recycled_socket_makes_nobody_green(site: Site) -> None:
    """Rocket.Chat.Electron#3490: the balancer recycles sockets overnight. Connecting is not activity."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        await maria.sees("juan", "offline", reason="idle")
        for turn in range(4):
            await juan.drop()
            juan = await site.connect("juan", on=turn % 2, idle_ms=3_600_000 + turn, replaces=juan.id)
            await maria.quiet_for(0.3, about="juan")
        await maria.quiet_for(GRACE_S + NOTICE_S, about="juan")
        # Coming back while still counted as active, after a night without input, is no input either.
        ana = await site.connect("ana", idle_ms=3_600_000)
        await maria.quiet_for(0.5, about="ana")
        assert ana.view().chosen == "online"


async def test_nobody_is_stuck_offline_while_active(new_site: NewSite) -> None:
    """Rocket.Chat#42162, mattermost#25682: the client believes it had told. Every beat restates, the server decides."""
    site = await new_site(workers=2)
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria", on=0)
    juan = await site.connect("juan", on=1)
    async with maria.typing(), juan.typing():
        await maria.sees("juan", "online")
        # Whatever made the others believe that he is gone:
        site.workers[1].pause()
        await maria.sees("juan", "offline", within_s=LEASE_S + NOTICE_S + SLACK_S)
        site.workers[1].resume()
        await maria.sees("juan", "online", within_s=SOON_S)
        await juan.sees("juan", "online")
        await maria.quiet_for(LEASE_S, about="juan")


async def test_two_devices_do_not_fight(site: Site) -> None:
    """synapse#15879, Rocket.Chat#12526: an active and an idle device flipped every 50 ms. The newest input wins."""
    await site.admin().set_idle_timeout(2)
    maria = await site.connect("maria")
    laptop = await site.connect("juan", on=0)
    phone = await site.connect("juan", on=1)
    await maria.sees("juan", "online")

    async def beat_idle() -> None:
        for turn in range(30):
            await phone.beat(60_000 + 100 * turn)
            await asyncio.sleep(0.15)

    async with maria.typing(), laptop.typing():
        idling = asyncio.create_task(beat_idle())
        await maria.quiet_for(5, about="juan")
        await idling


async def test_opening_a_phone_changes_no_choice(site: Site) -> None:
    """Rocket.Chat#23563: a second device reset the chosen status. Only a person changes it."""
    maria = await site.connect("maria")
    laptop = await site.connect("juan", on=0)
    await laptop.choose("busy")
    await maria.sees("juan", "busy")
    phone = await site.connect("juan", on=1, sid=site.unique("phone"))
    assert phone.view().chosen == "busy"
    await phone.beat(0)
    await phone.logout()
    await maria.quiet_for(1, about="juan")
    assert (await site.api("juan").user("juan"))["chosen"] == "busy"


async def test_a_reconnect_storm_is_not_broadcast(new_site: NewSite) -> None:
    """synapse#3971, Rocket.Chat#21182: everyone reconnects at once and everyone is told. Here nobody is."""
    # Sixty at once take a busy machine longer than the grace that is usual here.
    site = await new_site(workers=2, disconnect_grace=20, lease_ttl=30)
    watchers = [await site.connect("maria", on=0), await site.connect("ana", on=1)]
    people = await asyncio.gather(*(site.connect(f"user{number}", on=number % 2) for number in range(60)))
    everyone = {"maria": "online", "ana": "online"} | {f"user{number}": "online" for number in range(60)}
    for client in (*watchers, *people):
        await client.sees_all(everyone)
    quiet = [asyncio.create_task(watcher.quiet_for(GRACE_S + NOTICE_S)) for watcher in watchers]
    await asyncio.gather(*(person.drop() for person in people))

    async def back(number: int) -> Client:
        return await site.connect(f"user{number}", on=(number + 1) % 2, resume_from=people[number])

    again = await asyncio.gather(*(back(number) for number in range(60)))
    assert sum(len(client.of_type("snapshot")) for client in again) == 0
    await asyncio.gather(*quiet)


async def test_no_dot_is_stale_until_a_reload(
    new_site: NewSite, new_valkey: Callable[..., Valkey], new_proxy: Callable[[Valkey], RedisProxy]
) -> None:
    """mattermost#22059, #25369: a lost message left dots stale. Versions show the hole, and it is filled by itself."""
    valkey = new_valkey()
    proxy = new_proxy(valkey)
    site = await new_site(redis_urls=[proxy.url, valkey.url])
    maria = await site.connect("maria", on=0)
    juan, ana = await site.connect("juan", on=1), await site.connect("ana", on=1)
    await maria.sees_all({"maria": "online", "juan": "online", "ana": "online"})
    await maria.quiet_for(0.5)
    proxy.lose_publications()
    await juan.choose("busy")
    await asyncio.sleep(0.1)  # The publication is on its way, to be lost.
    proxy.mend()
    await ana.choose("busy")
    await maria.sees_soon("ana", "busy")
    await maria.sees_soon("juan", "busy")


async def test_going_offline_is_a_change_like_any_other(site: Site) -> None:
    """zulip#30484: offline was not in the deltas. Here it has a version, a since and a reason, also on resume."""
    juan = await site.connect("juan", on=1)
    maria = await site.connect("maria")
    await maria.sees("juan", "online")
    away = await site.connect("ana")
    await away.sees("juan", "online")
    await away.drop()
    version = maria.view().version
    await juan.logout()
    told = await maria.sees("juan", "offline", reason="signed_out")
    assert told.by == "delta"
    assert told.version > version
    again = await site.connect("ana", on=1, resume_from=away)
    assert again.of_type("delta")[0]["users"]["juan"]["status"] == "offline"


async def test_the_own_dot_is_the_servers_word(site: Site) -> None:
    """zulip#18846: the own dot differed from what others see. The own view is fed like everybody's, idling included."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan", on=0)
    async with maria.typing():
        for status, reason, act in (
            ("offline", "idle", None),
            ("online", "active", juan.beat(0)),
            ("busy", "chosen", juan.choose("busy")),
            ("offline", "idle", None),
        ):
            if act is not None:
                await act
            mine, theirs = await asyncio.gather(
                juan.sees("juan", status, reason=reason), maria.sees("juan", status, reason=reason)
            )
            assert mine[:5] == theirs[:5]


async def test_the_dot_and_the_routing_agree(site: Site) -> None:
    """libredesk#561: the dot said one thing, the routing another. HTTP reads and the feed follow one rule."""
    await site.admin().set_idle_timeout(1)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        for status in ("online", "offline", "busy"):
            if status == "busy":
                await juan.choose("busy")
            told = await maria.sees("juan", status)
            for on in (0, 1):
                read = await site.api("maria", on=on).user("juan")
                routable = (await site.api("maria", on=on).presence(status="online"))["users"]
                assert (read["status"], read["since"], read["reason"]) == (status, told.since, told.reason)
                assert ("juan" in routable) == (status == "online")


async def test_ids_of_the_dead_do_not_pile_up(new_site: NewSite, new_valkey: Callable[..., Valkey]) -> None:
    """phoenix_pubsub#179: dead node ids piled up. After restarts, crashes and signs-out Redis holds no more."""
    valkey = new_valkey()
    site = await new_site(workers=2, valkey=valkey, remember=2 * UNIT)

    def stored() -> dict[str, int]:
        with valkey.client() as redis:
            return {str(key): int(redis.pttl(key)) for key in redis.scan_iter(count=1_000)}

    turns = itertools.count()

    async def rounds(number: int) -> None:
        for turn in itertools.islice(turns, number):
            await asyncio.gather(
                *(site.connect(f"user{n}", on=n % 2, sid=site.unique(f"s{turn}-{n}")) for n in range(6))
            )
            if turn % 2:
                site.workers[0].kill()
            else:
                site.workers[0].terminate()
                await site.workers[0].wait()
            await asyncio.to_thread(site.workers[0].start)
            for client in site.clients:
                if client.close_code is None:
                    await client.logout()
        maria = await site.connect("maria", on=1)
        await maria.sees_all({"maria": "online"}, within_s=LEASE_S + NOTICE_S + SLACK_S)
        await maria.logout()

    await rounds(1)
    once = len(stored())
    await rounds(2)
    assert len(stored()) <= once + 3 * 6 + 6, f"Expected ids to expire, got {sorted(stored())}"

    async def people_for_ever() -> list[str]:
        return [key for key, left_ms in stored().items() if left_ms < 0 and ("user" in key or "-s" in key)]

    # Who is held has no TTL; the last logout is on its way still.
    await becomes(people_for_ever, [])


async def test_a_dead_worker_holds_up_nobodys_question(new_site: NewSite) -> None:
    """socket.io-redis-adapter#367: asking all nodes hangs when one is dead. Nothing here asks all nodes."""
    site = await new_site(workers=2)
    maria = await site.connect("maria", on=0)
    await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    site.workers[1].pause()
    async with asyncio.timeout(SOON_S):
        await maria.choose("busy")
        assert (await site.api("maria").user("juan"))["status"] == "online"
        await site.admin().set_idle_timeout(300)
        await site.connect("ana", on=0)
        await site.admin().sign_out("juan")
    await maria.sees_soon("juan", "offline", reason="forced")
    site.workers[1].resume()


async def test_an_update_is_one_message(site: Site) -> None:
    """supabase/realtime#1167: an update arrived as leave and join. Here busy follows online, with nothing between."""
    maria = await site.connect("maria", on=1)
    juan = await site.connect("juan")
    await maria.sees("juan", "online")
    for turn in range(6):
        before = len(maria.of_type("delta"))
        status = "online" if turn % 2 else "busy"
        await juan.choose(status)
        await maria.sees_soon("juan", status)
        await maria.quiet_for(0.3)
        deltas = maria.of_type("delta")[before:]
        assert len(deltas) == 1
        assert set(deltas[0]["users"]) == {"juan"}
    maria.never_saw("juan", "offline")


@pytest.mark.parametrize(
    ("settings", "within_s"),
    [({"ping_interval": 2}, 3), pytest.param({"lease_ttl": 30, "disconnect_grace": 20}, 21, marks=pytest.mark.long)],
    ids=["every 2 s", "by default every 20 s"],
)
async def test_pings_are_more_frequent_than_a_balancers_idle_limit(
    new_site: NewSite, settings: dict[str, float], within_s: float
) -> None:
    """mattermost/docs#8929: pings as rare as the balancer's limit. One comes every 20 s, on a silent line."""
    site = await new_site(**settings)
    pings = 0
    maria = await site.connect("maria")
    receive = maria.connection.protocol.receive_data

    def count(data: bytes | bytearray) -> None:
        nonlocal pings
        pings += bytes(data[:1]) == b"\x89"
        receive(data)

    maria.connection.protocol.receive_data = count  # type: ignore[method-assign]
    await maria.quiet_for(within_s)
    assert pings >= 1
