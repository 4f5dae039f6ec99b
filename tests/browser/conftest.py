"""A real Chromium for all tests of this folder, which share one event loop with it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.office import Office
from tests.browser.windows import Windows
from tests.support.valkey import Valkey
from tests.support.worker import FAST, Worker

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    executable = shutil.which("chromium")
    assert executable is not None, "Expected Chromium on the PATH, got none: install the package 'chromium'"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=CHROMIUM_ARGUMENTS,
            # As people have it: a page that is left may come back as it was.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def windows(chromium: Browser) -> AsyncIterator[Windows]:
    """Opens browser windows, and fails the test when a page had an error of its own."""
    windows = Windows(chromium)
    yield windows
    await windows.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def modules(chromium: Browser) -> AsyncIterator[Page]:
    """A page that has the client's modules under /static and nothing else, shared by tests that leave it as it is."""
    windows = Windows(chromium)
    yield await windows.open_modules()
    await windows.close()


@pytest_asyncio.fixture(loop_scope="session")
async def new_worker(shared_valkey: Valkey, key_prefix: str, tmp_path: Path) -> AsyncIterator[Callable[..., Worker]]:
    """Starts workers of the test's own: ``new_worker("demo", idle_timeout=5)``; see `tests.support.worker.FAST`."""
    with ExitStack() as stack:
        names = itertools.count()

        def start(command: str = "serve", **settings: object) -> Worker:
            base = FAST | {"redis_url": shared_valkey.url, "key_prefix": key_prefix} | settings
            worker = Worker(f"browser-worker-{next(names)}", tmp_path, base, command)
            stack.callback(worker.close)
            worker.start()
            return worker

        yield start


@pytest_asyncio.fixture(loop_scope="session")
async def office(windows: Windows, shared_workers: list[Worker]) -> AsyncIterator[Office]:
    """A team on the shared workers."""
    office = Office(windows, shared_workers)
    yield office
    await office.close()


@pytest.fixture(scope="module")
def short_worker(shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker whose teams go idle after two seconds."""
    settings = FAST | {
        "redis_url": shared_valkey.url,
        "key_prefix": "test-short",
        "idle_timeout": 2,
        "heartbeat_interval": 1,
    }
    worker = Worker("short", tmp_path_factory.mktemp("short"), settings)
    try:
        worker.start()
        yield worker
    finally:
        worker.close()
