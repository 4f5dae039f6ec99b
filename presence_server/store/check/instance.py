"""What kind of Redis there is at an address, for `presence-server check`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError

from presence_server.address import Address, Node, parse
from presence_server.errors import Unavailable
from presence_server.store.connect import open_client

_FAULTS: Final = (RedisError, OSError)


@dataclass(frozen=True, slots=True)
class Instance:
    """One Redis, as it tells about itself.

    Attributes:
        product: `Redis` or `Valkey`.
        version: of the product, as it writes it.
        compatible: the version of Redis it is compatible with: major and minor.
        role: `master` or `replica`.
        replicas: those that are connected to it.
        ahead_ms: by how much its clock is ahead of this machine's; negative: behind.
        uncertainty_ms: how wrong `ahead_ms` may be, by how long the answer took.
        evicts: the policy by which it throws keys away when its memory is full; None if it does not.
        persists: whether a restart finds its data on disk.
        guarded: whether it refuses to write when it has too few replicas.
    """

    product: str
    version: str
    compatible: tuple[int, int]
    role: str
    replicas: tuple[Node, ...]
    ahead_ms: int
    uncertainty_ms: int
    evicts: str | None
    persists: bool
    guarded: bool


def objection(url: str) -> str | None:
    """Tell what is wrong about an address that can be read, if anything; connects to nothing."""
    address = parse(url)
    try:
        # Whatever there is will be connected to with the same options.
        one = address.at(address.nodes[0]) if address.nodes else address
        open_client(one).connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError) as error:
        # Their texts name the option, and never its value.
        return f"Expected options that the client of Redis has, got another or a wrong value: {error}"
    return None


async def ask(address: Address) -> Instance:
    """Ask one Redis.

    Raises:
        Unavailable: it is out of reach, or does not answer to this account.
    """
    client = open_client(address)
    try:
        information = await client.info()
        asked_s = time.time()
        seconds, microseconds = await client.time()
        answered_s = time.time()
    except _FAULTS as error:
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
    policy = str(information.get("maxmemory_policy", "noeviction"))
    count = int(information.get("connected_slaves", 0))
    replicas = [information.get(f"slave{number}") for number in range(count)]
    return Instance(
        product="Valkey" if valkey else "Redis",
        version=str(valkey or information["redis_version"]),
        compatible=(int(major), int(minor)),
        role="master" if information.get("role") == "master" else "replica",
        replicas=tuple(Node(str(each["ip"]), int(each["port"])) for each in replicas if isinstance(each, dict)),
        ahead_ms=round((redis_s - (asked_s + answered_s) / 2) * 1000),
        uncertainty_ms=round((answered_s - asked_s) / 2 * 1000),
        evicts=policy if information.get("maxmemory") and policy != "noeviction" else None,
        persists=bool(information.get("aof_enabled")),
        # Told only where min-replicas-to-write is set.
        guarded="min_slaves_good_slaves" in information,
    )
