"""Section 5 of the contract: the rate limit, and readers who are too slow."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from tests.conftest import NewSite
from tests.support.client import Client
from tests.support.site import Site
from tests.support.timing import GRACE_S, NOTICE_S, SLACK_S, SOON_S


async def test_a_burst_of_fifty_passes(site: Site) -> None:
    """Fifty messages in a row are all taken."""
    juan = await site.connect("juan")
    for number in range(48):
        await juan.send("set_status", id=number, status="online" if number % 2 else "busy")
    for number in range(48):
        assert (await juan.answer(number))["type"] == "ack"


async def test_beyond_the_burst_messages_are_dropped_with_rate_limited(site: Site) -> None:
    """A hundred at once: the first fifty or so pass, the others get rate_limited with retry_ms and change nothing."""
    juan = await site.connect("juan")
    for number in range(100):
        await juan.send("set_status", id=number, status="online" if number % 2 else "busy")
    answers = [await juan.answer(number) for number in range(100)]
    limited = [answer for answer in answers if answer.get("code") == "rate_limited"]
    assert 20 <= len(limited) <= 52
    assert [answer["type"] for answer in answers[:48]] == ["ack"] * 48
    for answer in limited:
        assert answer["type"] == "error"
        assert isinstance(answer["retry_ms"], int)
        assert 0 < answer["retry_ms"] <= 5_000
    assert juan.close_code is None
    await asyncio.sleep(limited[-1]["retry_ms"] / 1_000 + 0.1)
    await juan.choose("busy")


async def test_ten_a_second_pass_for_as_long_as_you_like(site: Site) -> None:
    """The rate itself is fine, without any error."""
    juan = await site.connect("juan")
    for _ in range(40):
        await juan.beat(0)
        await asyncio.sleep(0.1)
    await juan.choose("busy")
    assert juan.of_type("error") == []


async def test_who_keeps_breaking_the_limit_is_closed_with_4005(site: Site) -> None:
    """A hundred dropped within a minute: 4005; others on the same worker notice nothing."""
    maria = await site.connect("maria")
    juan = await site.connect("juan")
    await maria.sees("juan", "online")
    for _ in range(250):
        await juan.beat(0)
    await juan.closed(4005)
    limited = [message for message in juan.of_type("error") if message["code"] == "rate_limited"]
    assert len(limited) <= 100
    await maria.quiet_for(0.5, about="juan")
    await maria.choose("busy")


async def test_messages_that_are_wrong_count_too(site: Site) -> None:
    """A flood of unknown types is a flood."""
    juan = await site.connect("juan")
    for _ in range(300):
        await juan.send("dance")
    await juan.closed(4005)


async def _narrow_line(site: Site, user: str, on: int = 0, **options: Any) -> Client:
    """A connection whose kernel buffers hold some ten kilobytes, so that not reading is felt soon."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", site.workers[on].port))
    return await site.connect(user, on=on, sock=line, **options)


async def _crowd(site: Site, size: int) -> list[Client]:
    """People with long names, so that a change of all of them is a large message; each sees himself alone."""
    names = [f"user{number:02}-" + "x" * 110 for number in range(size)]
    return await asyncio.gather(*(site.connect(name, on=1, watch={site.team: []}) for name in names))


async def _commotion(crowd: list[Client], rounds: int) -> None:
    """Everyone changes again and again, at the pace of the rate limit; all end busy."""
    for turn in range(rounds):
        status = "busy" if (rounds - turn) % 2 else "online"
        await asyncio.gather(*(person.send("set_status", status=status) for person in crowd))
        await asyncio.sleep(0.11)


async def test_a_slow_reader_gets_the_newest_state_and_no_backlog(site: Site) -> None:
    """Not read for a few seconds of commotion: what was missed is dropped, and the view is right when reading again."""
    crowd = await _crowd(site, 90)
    slow = await _narrow_line(site, "maria")
    quick = await site.connect("ana")
    slow.freeze()
    received = slow.received_bytes
    before = quick.received_bytes
    # More than the kernel's own buffers ever hold.
    while quick.received_bytes - before < 1_000_000:
        await _commotion(crowd, 5)
    for person in crowd:
        await quick.sees(person.welcome["user"], "busy")
    slow.thaw()
    for person in crowd:
        await slow.sees(person.welcome["user"], "busy")
    await site.converges(clients=[slow, quick])
    assert slow.close_code is None
    told_slow, told_quick = slow.received_bytes - received, quick.received_bytes - before
    assert told_slow < told_quick / 2, f"Expected no backlog, got {told_slow} of {told_quick} bytes"


async def test_who_is_stuck_for_ten_seconds_is_cut_off(new_site: NewSite) -> None:
    """Not read for ten seconds with more to be sent: cut off, and offline after the grace; others go on."""
    site = await new_site(workers=2)
    crowd = await _crowd(site, 50)
    slow = await _narrow_line(site, "maria")
    quick = await site.connect("ana")
    await quick.sees("maria", "online")
    slow.freeze()
    within_s = 10 + GRACE_S + NOTICE_S + SOON_S
    stuck = asyncio.create_task(quick.sees("maria", "offline", reason="disconnected", within_s=within_s))
    for _ in range(10):
        await _commotion(crowd, 10)
        if stuck.done():
            break
    await stuck
    slow.thaw()
    # The code gets through only where there is room for it.
    await slow.closed(4003, 1006, within_s=SOON_S)
    await site.converges(clients=[quick], within_s=2 * SOON_S)


async def test_a_slow_reader_of_snapshots_does_not_pile_them_up(site: Site) -> None:
    """Asking for the same large snapshot again and again without reading: memory stays bounded, others go on."""
    await _crowd(site, 150)
    slow = await _narrow_line(site, "maria")
    quick = await site.connect("ana")
    slow.freeze()
    received = slow.received_bytes
    for number in range(45):
        await slow.send("watch", id=f"watch-{number}", team=site.team, users="all")
    await quick.choose("busy")
    slow.thaw()
    await slow.sees("ana", "busy", within_s=SOON_S + SLACK_S)
    whole = 45 * 150 * 190
    assert slow.received_bytes - received < whole / 2, f"Expected snapshots to be dropped, got {slow.received_bytes}"
