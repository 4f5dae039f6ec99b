"""The address of Redis, as `PRESENCE_REDIS_URL` has it (section 3 of the contract): text → what to connect to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, unquote

Topology: TypeAlias = Literal["single", "sentinel", "cluster"]

REDIS_PORT: Final = 6379
SENTINEL_PORT: Final = 26379

_TOPOLOGIES: Final[Mapping[str, Topology]] = {"": "single", "sentinel": "sentinel", "cluster": "cluster"}
_SCHEMES: Final = (
    "redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster://, rediss+cluster://"
)
_EXAMPLES: Final[Mapping[Topology, str]] = {
    "single": "redis://localhost:6379/0",
    "sentinel": "redis+sentinel://host:26379,host:26379/service",
    "cluster": "redis+cluster://host:6379,host:6379",
}
_SCHEME: Final = re.compile(r"(rediss?)(?:\+(sentinel|cluster))?")
# An IPv6 address in brackets (RFC 3986 section 3.2.2), or a name or IPv4 address; a port.
_NODE: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:\s]+))(?::(\d{1,5}))?")


class Node(NamedTuple):
    """Where one server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL leads to. Construct it by `parse`, which checks. Its text shows no secrets.

    Attributes:
        topology: one Redis; one that Sentinels know; or a cluster.
        nodes: Redis itself, the Sentinels to ask, or the members of the cluster to ask first; none for a socket.
        socket: path of a unix socket; empty for TCP.
        tls: whether connections are encrypted, those to Sentinels included.
        username: of the account at Redis; None for its default user.
        password: of that account.
        sentinel_username: of the account at the Sentinels; None for their default user.
        sentinel_password: of that account.
        service: by which name Sentinels know the master; empty without Sentinels.
        database: its number.
        options: further ones of redis-py by their names in its URLs, their values as text.
    """

    topology: Topology
    nodes: tuple[Node, ...] = ()
    socket: str = ""
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    service: str = ""
    database: int = 0
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def at(self, node: Node) -> Address:
        """One server of those that this leads to, by itself, with the same account and options."""
        return replace(
            self, topology="single", nodes=(node,), service="", sentinel_username=None, sentinel_password=None
        )

    def __str__(self) -> str:
        """What it leads to, as reports name it."""
        return self.socket or ", ".join(map(str, self.nodes))

    @property
    def has_password(self) -> bool:
        """Whether the URL has to be kept secret."""
        return self.password is not None or self.sentinel_password is not None


def parse(url: str) -> Address:
    """Read a URL.

    Options of redis-py go into the query, and so do the Sentinels' own `sentinel_username` and `sentinel_password`.

    Raises:
        ValueError: "Expected X, got Y", without anything that may be part of a password.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        raise ValueError(f"Expected a URL ({_SCHEMES}), got something that is none")
    if "#" in rest:
        raise ValueError("Expected a URL without '#', got one. In a password, write %23")
    rest, _, query = rest.partition("?")
    options = dict(parse_qsl(query))
    if scheme.lower() == "unix":
        return _parse_socket(rest, options)
    kind = _SCHEME.fullmatch(scheme.lower())
    if kind is None:
        raise ValueError(f"Expected one of {_SCHEMES}, got {_shown(scheme)}")
    topology = _TOPOLOGIES[kind[2] or ""]
    authority, _, path = rest.partition("/")
    account, _, hosts = authority.rpartition("@")
    username, password = _account(account, options, "")
    at_sentinels = _account("", options, "sentinel_") if topology == "sentinel" else (None, None)
    service, database = _service_and_database(topology, path, options)
    return Address(
        topology,
        _nodes(topology, hosts),
        tls=kind[1] == "rediss",
        username=username,
        password=password,
        sentinel_username=at_sentinels[0],
        sentinel_password=at_sentinels[1],
        service=service,
        database=database,
        options=tuple(options.items()),
    )


def _shown(scheme: str) -> str:
    return f"the scheme {scheme!r}" if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,20}", scheme) else "something else"


def _parse_socket(rest: str, options: dict[str, str]) -> Address:
    authority, _, path = rest.partition("/")
    account, _, host = authority.rpartition("@")
    if host or not path.strip("/"):
        what = "a host" if host else "none"
        raise ValueError(f"Expected the path of a socket, as in unix:///run/valkey.sock, got {what}")
    username, password = _account(account, options, "")
    database = _database(options.pop("db", ""))
    return Address(
        "single",
        socket=unquote(f"/{path}"),
        username=username,
        password=password,
        database=database,
        options=tuple(options.items()),
    )


def _account(text: str, options: dict[str, str], prefix: str) -> tuple[str | None, str | None]:
    """User and password; where the address has none, options of those names count."""
    username, _, password = text.partition(":")
    in_query = options.pop(f"{prefix}username", None), options.pop(f"{prefix}password", None)
    return unquote(username) or in_query[0], unquote(password) or in_query[1]


def _nodes(topology: Topology, hosts: str) -> tuple[Node, ...]:
    if topology == "single" and "," in hosts:
        raise ValueError(
            "Expected one host, got several. For Sentinels use redis+sentinel://, for a cluster redis+cluster://"
        )
    return tuple(_node(topology, host) for host in hosts.split(","))


def _node(topology: Topology, text: str) -> Node:
    found = _NODE.fullmatch(text)
    # What does not fit may be the rest of a password with a character that should have been encoded.
    if found is None:
        what = "something that is none" if text else "none"
        raise ValueError(f"Expected a host and a port, as in {_EXAMPLES[topology]}, got {what}")
    port = int(found[3] or (SENTINEL_PORT if topology == "sentinel" else REDIS_PORT))
    if not 1 <= port <= 65535:
        raise ValueError(f"Expected a port from 1 to 65535, got {port}")
    return Node(found[1] or unquote(found[2]), port)


def _service_and_database(topology: Topology, path: str, options: dict[str, str]) -> tuple[str, int]:
    if topology == "cluster":
        if path or "db" in options:
            raise ValueError("Expected no database after the hosts, since a cluster has but one, got something")
        return "", 0
    if topology == "single":
        # The option wins, as it does in redis-py.
        return "", _database(options.pop("db", path))
    service, _, number = path.partition("/")
    if not service:
        raise ValueError(f"Expected the name of the service after the hosts, as in {_EXAMPLES[topology]}, got none")
    return unquote(service), _database(options.pop("db", number))


def _database(text: str) -> int:
    if not re.fullmatch(r"\d{0,9}", text, re.ASCII):
        raise ValueError("Expected the number of a database, got something that is none")
    return int(text or 0)
