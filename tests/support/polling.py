"""Waiting for what can only be asked for again and again, such as an HTTP read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.timing import SOON_S


async def becomes(read: Callable[[], Awaitable[object]], *wanted: object, within_s: float = SOON_S) -> None:
    """Read until the answer is one of `wanted`."""
    found: object = "no answer"
    try:
        async with asyncio.timeout(within_s):
            while (found := await read()) not in wanted:  # noqa: ASYNC110 - there is nothing to be woken by
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"Expected {wanted} within {within_s:.1f} s, got {found!r}") from None
