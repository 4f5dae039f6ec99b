"""What kind of Redis there is at an address, for `presence-server check`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from presence_server.address import parse
from presence_server.errors import Unavailable
from presence_server.store.connect import open_client


@dataclass(frozen=True, slots=True)
class Instance:
    """One Redis, as it tells about itself.

    Attributes:
        product: `Redis` or `Valkey`.
        version: of the product, as it writes it.
        compatible: the version of Redis it is compatible with: major and minor.
        ahead_ms: by how much its clock is ahead of this machine's; negative: behind.
        uncertainty_ms: how wrong `ahead_ms` may be, by how long the answer took.
        evicts: whether it throws keys away when its memory is full.
        persists: whether a restart finds its data on disk.
    """

    product: str
    version: str
    compatible: tuple[int, int]
    ahead_ms: int
    uncertainty_ms: int
    evicts: bool
    persists: bool


def objection(url: str) -> str | None:
    """Tell what is wrong about an address that can be read, if anything; connects to nothing."""
    if parse(url).topology == "cluster":
        return "Expected one Redis, or Sentinels, got a cluster, which this version does not support yet"
    try:
        open_client(url).connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError) as error:
        # Their texts name the option, and never its value.
        return f"Expected options that the client of Redis has, got another or a wrong value: {error}"
    return None


async def probe(url: str) -> Instance:
    """Ask the Redis at `url`.

    Raises:
        Unavailable: it is out of reach, or does not answer to this account.
    """
    client = open_client(url)
    try:
        information = await client.info()
        asked_s = time.time()
        seconds, microseconds = await client.time()
        answered_s = time.time()
    except (RedisError, OSError) as error:
        raise Unavailable(f"Expected Redis to answer, got: {error}") from error
    finally:
        await client.aclose()
    return describe(information, redis_s=seconds + microseconds / 1e6, asked_s=asked_s, answered_s=answered_s)


def describe(information: Mapping[str, Any], *, redis_s: float, asked_s: float, answered_s: float) -> Instance:
    """Put together what Redis said.

    Args:
        information: what it answered to INFO.
        redis_s: its clock, seconds since the epoch.
        asked_s: when it was asked for its clock, by ours.
        answered_s: when the answer was there, by ours.
    """
    valkey = information.get("valkey_version")
    major, minor = str(information["redis_version"]).split(".")[:2]
    return Instance(
        product="Valkey" if valkey else "Redis",
        version=str(valkey or information["redis_version"]),
        compatible=(int(major), int(minor)),
        ahead_ms=round((redis_s - (asked_s + answered_s) / 2) * 1000),
        uncertainty_ms=round((answered_s - asked_s) / 2 * 1000),
        evicts=bool(information.get("maxmemory")) and information.get("maxmemory_policy") != "noeviction",
        persists=bool(information.get("aof_enabled")),
    )
