"""An address to connections of redis-py: where single, Sentinel and TLS are told apart."""

from __future__ import annotations

from typing import Any, Final

from redis import exceptions
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import URL_QUERY_ARGUMENT_PARSERS
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from presence_server.address import Address, parse
from presence_server.store.sentinel import MasterPool, Sentinels

# Longer than any script may take, much shorter than a lease: a Redis that does not answer for so long is out of reach.
TIMEOUT_S: Final = 2.0

# What has to do with the connection itself: no server, no answer, no access, no such database, or something that is no
# Redis at all. uvloop raises RuntimeError ("the handler is closed") where asyncio raises ConnectionResetError, when a
# connection is reset while it is being made or written to.
OUT_OF_REACH: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.InvalidResponse,
    exceptions.ResponseError,
    OSError,
    RuntimeError,
)

# Options of redis-py that belong to a pool and not to its connections.
_OF_POOLS: Final = {"max_connections", "timeout"}


def open_pool(address: Address | str, timeout_s: float | None = None) -> ConnectionPool:
    """Make a pool for one Redis, or for the master that Sentinels name; its connections connect on first use.

    None retries by itself: what is asked for again, and what must come first, is the link's to decide.

    Args:
        address: of Redis, or its URL.
        timeout_s: of each reply; None leaves that to the caller, who puts one limit around a whole pipeline.

    Raises:
        ValueError: an option has a wrong value; which is told, and not the value.
    """
    address = _read(address)
    options = _options(address, timeout_s)
    account = {"username": address.username, "password": address.password, "db": address.database}
    if address.topology == "cluster":
        raise ValueError("Expected one Redis, or Sentinels, got a cluster")
    if address.topology == "sentinel":
        # A little less than whoever waits for a connection does, who would not know why there is none.
        limit_s = 0.9 * options["socket_connect_timeout"]
        return MasterPool(_sentinels(address, options), tls=address.tls, limit_s=limit_s, **options | account)
    if address.socket:
        return ConnectionPool(connection_class=UnixDomainSocketConnection, path=address.socket, **options | account)
    (node,) = address.nodes
    connection_class = SSLConnection if address.tls else Connection
    return ConnectionPool(connection_class=connection_class, host=node.host, port=node.port, **options | account)


def open_client(address: Address | str) -> Redis:
    """Make a client for the same addresses."""
    return Redis.from_pool(open_pool(address, TIMEOUT_S))


def open_sentinels(address: Address) -> Sentinels:
    """Make what asks the Sentinels of an address.

    Raises:
        ValueError: an option has a wrong value.
    """
    return _sentinels(address, _options(address, TIMEOUT_S))


def _read(address: Address | str) -> Address:
    return parse(address) if isinstance(address, str) else address


def _options(address: Address, timeout_s: float | None) -> dict[str, Any]:
    ours = {
        "protocol": 2,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    return ours | {name: _value(name, text) for name, text in address.options}


def _value(name: str, text: str) -> object:
    try:
        return URL_QUERY_ARGUMENT_PARSERS[name](text) if name in URL_QUERY_ARGUMENT_PARSERS else text
    except (TypeError, ValueError):
        raise ValueError(f"Invalid value for {name!r}") from None


def _sentinels(address: Address, options: dict[str, Any]) -> Sentinels:
    account = {"username": address.sentinel_username, "password": address.sentinel_password}
    return Sentinels(
        address.nodes,
        address.service,
        tls=address.tls,
        # Half the time in which a connection must be made: the other half is for the master itself.
        limit_s=options["socket_connect_timeout"] / 2,
        options={name: value for name, value in options.items() if name not in _OF_POOLS} | account,
    )
