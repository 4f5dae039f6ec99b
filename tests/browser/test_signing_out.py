"""Signing out: it always finishes, ends everything of the session, and reaches the server sooner or later."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.browser.office import Office
from tests.browser.tab import Tab
from tests.browser.windows import Windows
from tests.support.client import Client
from tests.support.polling import becomes
from tests.support.tokens import mint
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

NewWorker = Callable[..., Worker]


async def test_it_ends_every_tab_and_device_of_the_session(office: Office) -> None:
    juan = await office.live("juan")
    sid = f"s-{office.team}"
    laptop = await office.live("maria", sid=sid, tabs="shared")
    other_tab = await office.live("maria", sid=sid, beside=laptop, tabs="shared")
    phone = await office.live("maria", on=1, sid=sid)
    assert await laptop.run("return client.logout();") == {"told": True}
    for tab in (laptop, other_tab, phone):
        await tab.until("client.state === 'stopped'")
        assert [(event["code"], event["reason"]) for event in await tab.events("signedout")] == [(4506, "signed_out")]
        assert len([line for line in tab.console if line.startswith("Presence has stopped")]) == 1
    await juan.sees(office.team, "maria", "offline")
    assert (await juan.get("maria") or {})["reason"] == "signed_out"
    assert await laptop.choose("busy") == "unavailable"
    assert await laptop.run("return client.live;") is False
    # Once more is no harm.
    assert await laptop.run("return client.logout();") == {"told": True}


async def test_before_the_connection_stands_it_waits_for_it(office: Office) -> None:
    juan = await office.live("juan")
    maria = await office.live("maria", sid=f"s-{office.team}")
    await juan.sees(office.team, "maria", "online")
    assert await maria.run("client.close(); client.connect(); return client.logout();") == {"told": True}
    await juan.sees(office.team, "maria", "offline")
    assert (await juan.get("maria") or {})["reason"] == "signed_out"


async def test_without_the_server_it_finishes_and_the_next_page_tells(windows: Windows, new_worker: NewWorker) -> None:
    """It takes 3 s at most and says that nobody heard; the next page of this browser delivers it."""
    worker = new_worker(disconnect_grace=30, lease_ttl=45, drain_timeout=0.1)
    staying = new_worker(disconnect_grace=30, lease_ttl=45)
    office = Office(windows, [worker, staying])
    observer = await Client.connect(staying.ws_url, mint("ana", [office.team]))
    maria = await office.live("maria", sid="s1")
    await observer.sees("maria", "online")
    worker.terminate()
    assert await worker.wait() == 0
    begun_s = time.monotonic()
    assert await maria.run("return client.logout();") == {"told": False}
    assert time.monotonic() - begun_s < 3.5
    assert [event["reason"] for event in await maria.events("signedout")] == ["signed_out"]
    await observer.quiet_for(0.5, about="maria")
    worker.start()
    # The next page is the one on which nobody is signed in.
    next_page = await Tab.open(await office.page(beside=maria), lambda _why: None, tabs="shared")
    await next_page.until("client.state === 'stopped'")
    await observer.sees("maria", "offline", reason="signed_out")

    async def kept() -> object:
        return await next_page.page.evaluate("localStorage.getItem('presence:signouts')")

    await becomes(kept, None)
    # Delivering it was nobody's sign-in, and no input.
    assert [told.status for told in observer.view().told if told.user == "maria"] == ["online", "offline"]
    await observer.end()
    await office.close()


async def test_by_force_it_is_final_too(office: Office) -> None:
    maria = await office.live("maria")
    await office.api().sign_out("maria")
    await maria.until("client.state === 'stopped'")
    (event,) = await maria.events("signedout")
    assert (event["code"], event["reason"]) == (4506, "signed_out")
    assert maria.sockets == 1


async def test_after_it_somebody_may_sign_in_again(office: Office) -> None:
    sessions = iter(["s1", "s2"])
    maria = await Tab.open(
        await office.page(), lambda _why: mint("maria", [office.team], sid=f"{office.team}-{next(sessions)}")
    )
    await maria.live()
    assert await maria.run("return client.logout();") == {"told": True}
    await maria.run("client.connect();")
    await maria.live()
    assert (await maria.get("maria") or {})["status"] == "online"
