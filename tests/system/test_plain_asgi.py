"""The contract on a server that knows nothing of this one's own protocol: uvicorn with its stock WebSockets.

The same tests as everywhere, taken from where they are at home, with other workers under them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.frames import Opcode

from tests.support.site import Site
from tests.support.valkey import Valkey
from tests.support.worker import FAST, Worker
from tests.system.test_drain import (
    test_drain_is_a_deploy_that_teammates_do_not_see,
    test_while_it_drains_readyz_and_upgrades_get_503,
)
from tests.system.test_hello import (
    test_a_large_hello_is_taken_and_a_larger_one_refused,
    test_hello_comes_once,
    test_welcome_names_user_connection_teams_and_times,
)
from tests.system.test_limits import (
    test_a_slow_reader_gets_the_newest_state_and_no_backlog,
    test_beyond_the_burst_messages_are_dropped_with_rate_limited,
)
from tests.system.test_origins import test_another_origin_is_closed_with_4503
from tests.system.test_requests import (
    test_acks_come_in_the_order_of_their_messages,
    test_errors_of_set_status,
    test_set_status_without_team_holds_for_every_team,
    test_watch_narrows_and_widens,
)
from tests.system.test_resume import (
    test_a_large_snapshot_comes_in_several_messages,
    test_resume_is_answered_by_what_changed_since,
)
from tests.system.test_rules_6_and_7 import test_rule_7_logout_is_for_good

__all__ = [
    "test_a_large_hello_is_taken_and_a_larger_one_refused",
    "test_a_large_snapshot_comes_in_several_messages",
    "test_a_slow_reader_gets_the_newest_state_and_no_backlog",
    "test_acks_come_in_the_order_of_their_messages",
    "test_another_origin_is_closed_with_4503",
    "test_beyond_the_burst_messages_are_dropped_with_rate_limited",
    "test_drain_is_a_deploy_that_teammates_do_not_see",
    "test_errors_of_set_status",
    "test_hello_comes_once",
    "test_resume_is_answered_by_what_changed_since",
    "test_rule_7_logout_is_for_good",
    "test_set_status_without_team_holds_for_every_team",
    "test_watch_narrows_and_widens",
    "test_welcome_names_user_connection_teams_and_times",
    "test_while_it_drains_readyz_and_upgrades_get_503",
]

PROGRAM = """
import os
from presence_server import settings
from presence_server.web import logs, ports, server
from presence_server.web.app import create_app

chosen = settings.load(os.environ, {})
logs.configure(chosen.log_level, chosen.log_format)
app = create_app(chosen)
config = server.configuration(app, chosen)
config.http, config.ws = "httptools", "websockets-sansio"
server.DrainingServer(
    config,
    drain=lambda timeout_s: app.state.worker.drain(timeout_s),
    drain_timeout_s=chosen.drain_timeout_s,
    on_listening=lambda: None,
).run(ports.listen(chosen.host, chosen.port))
"""


class PlainWorker(Worker):
    """A worker whose sockets are served through ASGI."""

    def __init__(self, name: str, directory: Path, settings: Mapping[str, object]) -> None:
        super().__init__(name, directory, settings)
        self.command = [sys.executable, "-c", PROGRAM]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of a test's own are plain ones, too."""
    monkeypatch.setattr("tests.conftest.Worker", PlainWorker)


@pytest.fixture(scope="module")
def shared_workers(shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """Two plain workers for all tests here that leave them alone."""
    directory = tmp_path_factory.mktemp("plain")
    settings = FAST | {"redis_url": shared_valkey.url, "key_prefix": "test-plain"}
    with ExitStack() as stack:
        workers: list[Worker] = [PlainWorker(f"plain-{number}", directory, settings) for number in range(2)]
        for worker in workers:
            stack.callback(worker.close)
            worker.start()
        yield workers


async def test_the_workers_are_plain(site: Site) -> None:
    """Or all the rest would prove nothing: what is not UTF-8 never gets past the stock protocol."""
    juan = await site.connect("juan")
    juan.send_frame(Opcode.TEXT, b'"\xff"')
    await juan.closed(1007)


@pytest.mark.parametrize("data", ["[", " " * 65_600], ids=["not JSON", "too large"])
async def test_what_is_no_message_is_4505(site: Site, data: str) -> None:
    """A server that refuses large messages by itself says 1009."""
    juan = await site.connect("juan")
    await juan.send_text(data)
    await juan.closed(4505, 1009)


async def test_binary_frames_are_4505(site: Site) -> None:
    juan = await site.connect("juan")
    await juan.send_bytes(b"{}")
    await juan.closed(4505)
