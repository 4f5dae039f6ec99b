"""The load generator: a process of its own that does what it is told on standard input, a line of JSON at a time."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import Any

import orjson
import uvloop

from benchmark.crowd import Crowd, Shape
from benchmark.machine import raise_file_limit


async def carry_out(crowd: Crowd | None, order: dict[str, Any]) -> tuple[Crowd | None, dict[str, Any]]:
    """Carry out one order; returns the crowd that is there afterwards, and the answer."""
    name = order.pop("do")
    if name == "gather":
        crowd = Crowd(Shape(**order))
        # What has been made by now stays; looking through it again and again is not what is to be measured.
        gc.freeze()
        return crowd, {}
    if crowd is None:
        raise RuntimeError(f"Expected a crowd to be gathered first, got '{name}'")
    return crowd, await getattr(crowd, name)(**order)


async def main() -> None:
    """Answer orders until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    crowd: Crowd | None = None
    while line := await reader.readline():
        try:
            crowd, answer = await carry_out(crowd, orjson.loads(line))
        except Exception as exc:
            logging.exception("An order could not be carried out")
            answer = {"error": repr(exc)}
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    raise_file_limit()
    uvloop.run(main())
