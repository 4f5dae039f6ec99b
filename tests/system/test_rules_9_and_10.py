"""Section 2 of the contract, rules 9 and 10: every view becomes right, and nobody is offline late or too early."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.proxy import RedisProxy
from tests.support.site import Site
from tests.support.timing import LEASE_S, NOTICE_S, SLACK_S, SOON_S, UNIT
from tests.support.valkey import Valkey


async def test_rule_9_views_are_right_within_a_second_after_a_storm(site: Site) -> None:
    """Choices, losses, returns and signs-out at random on two workers: a second after the last, every view is right."""
    chance = random.Random(8)
    watchers = [await site.connect(f"watcher{number}", on=number % 2) for number in range(4)]

    async def live(number: int) -> None:
        user = f"user{number}"
        client = await site.connect(user, on=number % 2)
        for _ in range(8):
            await asyncio.sleep(chance.random() * 0.2)
            match chance.randrange(4):
                case 0:
                    await client.drop()
                    client = await site.connect(user, on=chance.randrange(2))
                case 1:
                    await client.logout()
                    client = await site.connect(user, on=chance.randrange(2))
                case _:
                    await client.choose(chance.choice(["online", "busy"]))

    await asyncio.gather(*(live(number) for number in range(16)))
    await site.converges(clients=watchers)
    assert len(watchers[0].view().statuses()) == 20


async def test_rule_9_a_lost_publication_is_noticed_within_a_third_of_the_lease(
    new_site: NewSite, new_valkey: Callable[..., Valkey], new_proxy: Callable[[Valkey], RedisProxy]
) -> None:
    """A message is lost on its way to one worker, without any error and with none following: its views heal."""
    valkey = new_valkey()
    proxy = new_proxy(valkey)
    site = await new_site(redis_urls=[proxy.url, valkey.url])
    maria = await site.connect("maria", on=0)
    juan = await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    await maria.quiet_for(0.5)
    proxy.lose_publications()
    await juan.choose("busy")
    await asyncio.sleep(0.1)  # The publication is on its way, to be lost.
    proxy.mend()
    await maria.sees("juan", "busy", within_s=LEASE_S / 3 + SLACK_S)


@pytest.mark.parametrize("how", ["deafen_subscriptions", "hang_up_subscriptions"])
async def test_rule_9_a_dead_subscription_is_replaced(
    new_site: NewSite, new_valkey: Callable[..., Valkey], new_proxy: Callable[[Valkey], RedisProxy], how: str
) -> None:
    """A subscription that died, silently or with an error, is replaced, and what was missed is told.

    Seen elsewhere: go-redis#3806, redis-py before 8.1.
    """
    valkey = new_valkey()
    proxy = new_proxy(valkey)
    site = await new_site(redis_urls=[proxy.url, valkey.url])
    maria = await site.connect("maria", on=0)
    juan = await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    getattr(proxy, how)()
    await juan.choose("busy")
    await maria.sees("juan", "busy", within_s=LEASE_S / 3 + SLACK_S)
    await juan.choose("online")
    await maria.sees("juan", "online", within_s=LEASE_S + SLACK_S)
    # By now there is a new subscription: what comes is as quick as ever.
    await maria.quiet_for(LEASE_S)
    await juan.choose("busy")
    await maria.sees_soon("juan", "busy")


async def test_rule_10_idle_is_noticed_in_time_and_never_early(site: Site) -> None:
    """Many users with deadlines all over a second: each is told at or after his own, within 1.5 s."""
    await site.admin().set_idle_timeout(4)
    maria = await site.connect("maria", on=1)
    deadlines: dict[str, float] = {}
    async with maria.typing():
        for number in range(12):
            idle_ms = number * 150
            earliest = (await site.connect("clock")).welcome["server_time"] - idle_ms
            client = await site.connect(f"user{number}", on=number % 2, idle_ms=idle_ms)
            await maria.sees(f"user{number}", "online")
            deadlines[f"user{number}"] = earliest + 4_000
            latest = client.welcome["server_time"] - idle_ms + 4_000
            assert latest - deadlines[f"user{number}"] < SLACK_S * 1_000
        for user, deadline in deadlines.items():
            told = await maria.sees(user, "offline", within_s=4 + NOTICE_S + SLACK_S)
            assert (told.reason, told.status) == ("idle", "offline")
            assert told.since is not None
            assert told.since >= deadline, f"Expected {user} online until {deadline}, got {told}"
            assert told.at_ms <= deadline + (NOTICE_S + 2 * SLACK_S) * 1_000, f"Expected {user} by {deadline}, {told}"


@pytest.mark.parametrize("lease_s", [LEASE_S, 30])
async def test_rule_10_batching_never_makes_a_deadline_early(new_site: NewSite, lease_s: float) -> None:
    """A short timeout, beats as rare as the contract allows, a long or short lease: never a moment offline."""
    site = await new_site(workers=2, lease_ttl=lease_s)
    await site.admin().set_idle_timeout(2)
    maria = await site.connect("maria", on=0)
    juan = await site.connect("juan", on=1)
    every_s = 2 / 3
    async with maria.typing(every_s), juan.typing(every_s):
        await maria.sees("juan", "online")
        await maria.quiet_for(6)
    await maria.sees("juan", "offline", reason="idle", within_s=2 + NOTICE_S + SLACK_S)


async def test_rule_10_input_just_before_the_deadline_counts(new_site: NewSite) -> None:
    """One beat after a long silence, just in time, under the default lease: not offline, and the deadline moves."""
    site = await new_site(workers=2, lease_ttl=30)
    await site.admin().set_idle_timeout(4)
    maria = await site.connect("maria", on=0)
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        await maria.sees("juan", "online")
        await maria.quiet_for(3, about="juan")
        before = (await site.connect("clock")).welcome["server_time"]
        await juan.beat(0)
        await maria.quiet_for(3, about="juan")
        told = await maria.sees("juan", "offline", reason="idle", within_s=1 + NOTICE_S + SLACK_S)
        assert told.since is not None
        assert told.since >= before + 4_000


async def test_rule_10_idle_ms_of_a_beat_moves_the_deadline_by_that_much(site: Site) -> None:
    """A beat that says "1.5 s ago" leaves that much less until the timeout."""
    await site.admin().set_idle_timeout(3)
    maria = await site.connect("maria")
    juan = await site.connect("juan", on=1)
    async with maria.typing():
        await maria.quiet_for(2, about="nobody")
        before = (await site.connect("clock")).welcome["server_time"]
        await juan.beat(500)
        told = await maria.sees("juan", "offline", reason="idle", within_s=2.5 + NOTICE_S + SLACK_S)
        assert told.since is not None
        assert before + 2_500 <= told.since <= before + 2_500 + (NOTICE_S + SLACK_S) * 1_000


@pytest.mark.parametrize("how", ["cut", "pull_cable"])
async def test_rule_10_a_worker_cut_off_for_longer_than_its_lease_counts_as_dead(
    new_site: NewSite, new_valkey: Callable[..., Valkey], new_proxy: Callable[[Valkey], RedisProxy], how: str
) -> None:
    """Its users go offline for the others, its own clients are told that statuses may be stale, and all heals."""
    valkey = new_valkey()
    proxy = new_proxy(valkey)
    site = await new_site(redis_urls=[valkey.url, proxy.url])
    maria = await site.connect("maria", on=0)
    juan = await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    getattr(proxy, how)()
    await juan.expect("feed", live=False, within_s=LEASE_S + SLACK_S)
    await maria.sees("juan", "offline", reason="disconnected", within_s=LEASE_S + NOTICE_S + SLACK_S)
    assert juan.close_code is None
    assert not maria.of_type("feed")
    proxy.mend()
    await juan.expect("feed", live=True, within_s=SOON_S)
    await maria.sees("juan", "online")
    await site.converges(within_s=SOON_S)
    juan.never_saw("maria", "offline")
    await maria.quiet_for(LEASE_S)


async def test_rule_10_all_workers_standing_still_is_never_a_mass_sign_out(new_site: NewSite) -> None:
    """Both workers stand still for longer than the lease, and wake up: nobody was offline, nothing is told."""
    site = await new_site(workers=2)
    people: list[Client] = [await site.connect(f"user{number}", on=number % 2) for number in range(6)]
    for person in people:
        await person.sees_all({f"user{number}": "online" for number in range(6)})
    for worker in site.workers:
        worker.pause()
    await asyncio.gather(*(person.quiet_for(LEASE_S + 2 * UNIT) for person in people))
    for worker in site.workers:
        worker.resume()
    await asyncio.gather(*(person.quiet_for(LEASE_S + NOTICE_S) for person in people))


async def test_rule_10_after_an_outage_who_left_meanwhile_is_still_noticed(new_site: NewSite) -> None:
    """Of two workers that stood still one is dead for good: its users get one more lease, and no more."""
    site = await new_site(workers=2)
    maria = await site.connect("maria", on=0)
    await site.connect("juan", on=1)
    await maria.sees("juan", "online")
    for worker in site.workers:
        worker.pause()
    await maria.quiet_for(LEASE_S + 1 * UNIT)
    site.workers[1].kill()
    site.workers[0].resume()
    await maria.quiet_for(LEASE_S * 0.8, about="juan")
    await maria.sees("juan", "offline", reason="disconnected", within_s=LEASE_S * 0.2 + NOTICE_S + 2 * SLACK_S)
