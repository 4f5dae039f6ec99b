"""All that Valkey holds, taken down and brought back: what a failover does to the last writes."""

from __future__ import annotations

from typing import TypeAlias

import redis

Memory: TypeAlias = dict[str, tuple[bytes, int]]
"""Each key's value, as DUMP gives it, and its TTL in milliseconds; 0 for none."""


def remember(client: redis.Redis, prefix: str) -> Memory:
    """Take down all keys of a prefix."""
    keys = sorted(client.scan_iter(f"{prefix}:*", count=1000))
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.dump(key)
        pipeline.pttl(key)
    found = pipeline.execute()
    return {key.decode(): (found[2 * i], max(0, found[2 * i + 1])) for i, key in enumerate(keys)}


def recall(client: redis.Redis, memory: Memory, start: str) -> None:
    """Make all keys that start so what they were."""
    pipeline = client.pipeline(transaction=False)
    for key in client.scan_iter(f"{start}*", count=1000):
        pipeline.delete(key)
    for name, (value, ttl_ms) in memory.items():
        if name.startswith(start):
            pipeline.restore(name, ttl_ms, value)
    pipeline.execute()
