"""How long the store's scripts keep Redis to themselves, on a team of very many users.

Everything goes through `presence_server.store.store.Store`, in the portions the server uses, without a server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, Final

from benchmark.plan import Plan
from benchmark.results import Results
from benchmark.valkey import Valkey
from presence_server.core.roster import NO_MARK, Change, Entry
from presence_server.settings import Settings
from presence_server.store.connect import open_client
from presence_server.store.link import Link
from presence_server.store.queue import BULK
from presence_server.store.store import Store

_TEAM: Final = "stored"
_SINGLES: Final = 200
# Commands that scripts run are logged as well; few take so long. If all were, that would be what is measured.
_LOGGED_US: Final = 20
_LOGGED: Final = 20_000
_SETTINGS: Final = Settings(disconnect_grace_ms=1)


def measure(valkey: Valkey, plan: Plan, results: Results) -> None:
    """Run each script on a team of `plan.stored_users`, all online."""
    valkey.empty()
    asyncio.run(_Case(valkey, plan, results).run())


class _Case:
    def __init__(self, valkey: Valkey, plan: Plan, results: Results) -> None:
        self._valkey = valkey
        self._results = results
        self._case = f"Redis, a team of {plan.stored_users:,}"
        self._users = [f"u{number}" for number in range(plan.stored_users)]
        self._store: Store

    async def run(self) -> None:
        link = Link(open_client(self._valkey.url))
        self._store = store = Store(
            link, _SETTINGS, "benchmark", known=lambda _: NO_MARK, observe=lambda *_: None, on_down=_fail
        )
        running = asyncio.create_task(store.run())
        await store.claim()
        store.resume()
        self._valkey.client.config_set("slowlog-max-len", _LOGGED)
        try:
            for name, work in self._works():
                await self._time(name, work)
        finally:
            running.cancel()
            await link.close()

    def _works(self) -> list[tuple[str, Callable[[], Awaitable[object]]]]:
        store, users = self._store, self._users

        async def sweep() -> None:
            while (await store.sweep(_TEAM)).more:
                pass

        async def details() -> None:
            for at in range(0, len(users), BULK):
                await store.details(_TEAM, users[at : at + BULK])

        async def settle() -> None:
            await store.configure(_TEAM, 3_600_000)
            cursor: int | None = 0
            while cursor is not None:
                cursor = await store.settle(_TEAM, cursor)

        async def claims() -> None:
            for _ in range(_SINGLES):
                await store.claim()

        async def restore() -> None:
            now_ms = int(time.time() * 1000)
            rows = [(user, Entry(Change(user, 1, "online", now_ms, "signed_in", "online"))) for user in users]
            for at in range(0, len(rows), BULK):
                await store.restore(f"{_TEAM}-again", rows[at : at + BULK], 1, _SETTINGS.idle_timeout_ms)

        return [
            ("join, a full call", lambda: self._all(lambda user: store.join(_TEAM, user, "s", 1, _now_s(), 0))),
            ("renew, a full call", lambda: self._all(lambda user: store.renew(_TEAM, user, "s", 1, _now_s()))),
            ("choose, a full call", lambda: self._all(lambda user: store.choose(_TEAM, user, "busy", by_admin=False))),
            ("changes, a page", self._read_all),
            ("details, a full call", details),
            ("settle after a new timeout, a full call", settle),
            ("leave, a full call", lambda: self._all(lambda user: store.leave(_TEAM, user, "s", 0), users[::2])),
            ("sweep, a full call", sweep),
            ("restore, a full call", restore),
            ("claim", claims),
        ]

    async def _all(self, ask: Callable[[str], Awaitable[Any]], users: list[str] | None = None) -> None:
        users = self._users if users is None else users
        for at in range(0, len(users), 1_000):
            await asyncio.gather(*[ask(user) for user in users[at : at + 1_000]])

    async def _read_all(self) -> None:
        page = await self._store.changes(_TEAM, 0)
        while page.more:
            page = await self._store.changes(_TEAM, page.changes[-1].version)

    async def _time(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        client = self._valkey.client
        client.slowlog_reset()
        client.config_set("slowlog-log-slower-than", _LOGGED_US)
        await work()
        client.config_set("slowlog-log-slower-than", -1)
        entries: Any = client.slowlog_get(_LOGGED)
        took_us = [entry["duration"] for entry in entries if entry["command"].startswith(b"EVALSHA")] or [_LOGGED_US]
        self._results.add(self._case, f"{name}: median", "µs", "presence", median(took_us))
        self._results.add(self._case, f"{name}: longest", "µs", "presence", max(took_us))


def _now_s() -> float:
    return time.monotonic()


def _fail(why: str) -> None:
    raise RuntimeError(f"Expected Valkey within reach, got: {why}")
