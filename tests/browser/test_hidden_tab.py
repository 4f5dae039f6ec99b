"""A tab that nobody looks at: its timers are throttled or stand still, and its user stays as he is.

Chatwoot 13720 and 5076: a hidden Chromium tab's timers run once a minute, the agent flaps offline and gets no contacts.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.tab import Tab
from tests.browser.windows import Windows
from tests.support.client import Client
from tests.support.tokens import mint
from tests.support.worker import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEAM = "acme"


async def test_a_frozen_tab_is_alive_as_long_as_it_answers_pings(
    windows: Windows, new_worker: Callable[..., Worker]
) -> None:
    worker = new_worker(ping_interval=0.3, ping_timeout=0.3, heartbeat_interval=0.5)
    token = mint("maria", [TEAM])
    maria = await (await Tab.open(await windows.open_blank(worker.http_url), lambda _why: token)).live()
    observer = await Client.connect(worker.ws_url, mint("ana", [TEAM]), name="ana")
    await observer.settled()
    await observer.sees("maria", "online")

    devtools = await maria.page.context.new_cdp_session(maria.page)
    await devtools.send("Emulation.setVirtualTimePolicy", {"policy": "pause"})
    beats = len(maria.of_type("heartbeat"))
    # Somebody whose machine does not even answer pings: when he is gone, the frozen tab would be gone as well.
    lost = await Client.connect(worker.ws_url, mint("juan", [TEAM]), name="juan")
    await lost.settled()
    await observer.sees("juan", "online")
    lost.freeze()
    await observer.sees("juan", "offline", reason="disconnected")
    assert len(maria.of_type("heartbeat")) == beats, "Expected a frozen tab not to send any heartbeat"
    await observer.sees("maria", "online")
    assert [told for told in observer.messages if told["type"] == "delta" and "maria" in told["users"]] == []

    await devtools.send("Emulation.setVirtualTimePolicy", {"policy": "advance"})
    await maria.sends("heartbeat", beats + 1)
    assert maria.sockets == 1
    for client in (observer, lost):
        await client.end()
