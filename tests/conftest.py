"""Fixtures of all tests, and the logs of the processes under test where one fails."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import process
from tests.support.budget import LONG, examples
from tests.support.proxy import RedisProxy
from tests.support.site import Site
from tests.support.valkey import Valkey
from tests.support.worker import FAST, Worker

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile(
    "patient", deadline=None, max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

NewSite = Callable[..., Awaitable[Site]]


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """A Valkey for all tests that leave it alone; tests keep apart by key prefix or team."""
    with ExitStack() as stack:
        server = Valkey()
        stack.callback(server.close)
        server.start()
        yield server


@pytest.fixture
def key_prefix() -> str:
    """A key prefix that no other test has."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def new_valkey() -> Iterator[Callable[..., Valkey]]:
    """Starts a Valkey that the test may stop, kill or empty."""
    with ExitStack() as stack:

        def start(*, tcp: bool = True, persistent: bool = False) -> Valkey:
            server = Valkey(tcp=tcp, persistent=persistent)
            stack.callback(server.close)
            server.start()
            return server

        yield start


@pytest.fixture
def new_proxy() -> Iterator[Callable[[Valkey], RedisProxy]]:
    """Starts a relay in front of a Valkey that has a TCP port."""
    with ExitStack() as stack:

        def start(valkey: Valkey) -> RedisProxy:
            proxy = RedisProxy(valkey.tcp_port)
            stack.callback(proxy.close)
            return proxy

        yield start


@pytest.fixture(scope="session")
def shared_workers(shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """Two workers with fast settings for all tests that leave them alone."""
    directory = tmp_path_factory.mktemp("workers")
    settings = FAST | {"redis_url": shared_valkey.url, "key_prefix": "shared"}
    with ExitStack() as stack:
        workers = [Worker(f"shared-{number}", directory, settings) for number in range(2)]
        for worker in workers:
            stack.callback(worker.close)
            worker.spawn()
        for worker in workers:
            worker.await_sync(lambda worker=worker: worker.readyz() == 200)  # type: ignore[misc]
        yield workers


@pytest.fixture
async def site(shared_workers: list[Worker]) -> AsyncIterator[Site]:
    """The shared workers, with a team of this test's own."""
    site = Site(shared_workers)
    yield site
    await site.close()


@pytest.fixture
async def new_site(shared_valkey: Valkey, key_prefix: str, tmp_path: Path) -> AsyncIterator[NewSite]:
    """Starts workers of the test's own, which it may stop, kill or stand still.

    ``await new_site(workers=2, valkey=…, redis_urls=[…], idle_timeout=5)``: settings by lower-case name without prefix.
    """
    sites: list[Site] = []

    async def start(
        *, workers: int = 1, valkey: Valkey | None = None, redis_urls: list[str] | None = None, **settings: object
    ) -> Site:
        base = FAST | {"redis_url": (valkey or shared_valkey).url, "key_prefix": key_prefix} | settings
        urls = redis_urls or [str(base["redis_url"])] * workers
        first = sum(len(site.workers) for site in sites)
        site = Site([Worker(f"worker-{first + n}", tmp_path, base | {"redis_url": url}) for n, url in enumerate(urls)])
        sites.append(site)
        await site.start_workers()
        return site

    yield start
    try:
        for site in sites:
            await site.close()
    finally:
        for site in sites:
            for worker in site.workers:
                await asyncio.to_thread(worker.close)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not LONG:
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_runtest_setup() -> None:
    for each in process.started:
        each.mark_log()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for each in process.started:
            if log := each.log_since_mark():
                report.sections.append((f"log of {each.name} ({each.log_path})", log[-4_000:]))
    return report
