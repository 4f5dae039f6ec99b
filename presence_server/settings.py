"""Settings: one table from which the environment, the command line and the documentation are read.

The table is `Settings` itself: each field carries, beside its default, the environment variable of section 3 of the
contract, the flag where there is one, what it means, and the function that turns its text into a checked value.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from presence_server import parsing
from presence_server.errors import SettingsError

PREFIX: Final = "PRESENCE_"

# RFC 7518 section 3.2 wants as many bits as the hash has; shorter ones work, and can be guessed.
SOUND_SECRET_BYTES: Final = 32

NO_KEY: Final = (
    "PRESENCE_JWT_SECRET or PRESENCE_JWKS_URL: Expected one of them, got neither. "
    "Give the secret your application signs tokens with, or the address of its issuer's key set. To make a secret: "
    "export PRESENCE_JWT_SECRET=\"$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')\""
)

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Variable:
    """One row of the table.

    Attributes:
        field: the name in `Settings`.
        name: of the environment variable.
        flag: of the command line, or None.
        default: as documentation shows it.
        help: what it means, one sentence without its full stop.
        parse: text → value; raises ValueError with a text of the form "Expected X, got Y".
    """

    field: str
    name: str
    flag: str | None
    default: str
    help: str
    parse: Callable[[str], object]


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The platform's folder for data of this program; relative when the home directory is not known."""
    # Path.home() raises where there is none.
    home = environ.get("HOME") or os.path.expanduser("~")
    if sys.platform == "darwin":
        return Path(home, "Library", "Application Support", "presence-server")
    shared = environ.get("XDG_DATA_HOME", "")
    # The XDG Base Directory Specification: relative paths there are to be ignored.
    return Path(shared if Path(shared).is_absolute() else Path(home, ".local", "share"), "presence-server")


def _variable(
    name: str,
    default: _Value | Callable[[], _Value],
    shown: str,
    parse: Callable[[str], _Value],
    meaning: str,
    *,
    flag: str | None = None,
) -> _Value:
    """A dataclass field that is a row of the table (typed as its value, as `dataclasses.field` is)."""
    row = {"name": PREFIX + name, "flag": flag, "default": shown, "help": meaning, "parse": parse}
    if callable(default):
        return field(default_factory=default, metadata=row)
    return field(default=default, metadata=row)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server runs with. Construct it by `load`, which checks; the constructor itself checks nothing."""

    host: str = _variable(
        "HOST",
        "127.0.0.1",
        "`127.0.0.1`",
        parsing.text,
        "Address or host name to listen on; `::` means IPv6 and IPv4",
        flag="--host",
    )
    port: int = _variable(
        "PORT", 8000, "`8000`", parsing.port, "TCP port to listen on; 0 takes any free one", flag="--port"
    )
    metrics_port: int | None = _variable(
        "METRICS_PORT",
        None,
        "none: on the same port",
        parsing.own_port,
        "TCP port on which alone `/metrics` is answered, and for which file descriptors are kept back",
        flag="--metrics-port",
    )
    redis_url: str | None = _variable(
        "REDIS_URL",
        None,
        "a private embedded Valkey",
        parsing.redis_url,
        "Redis or Valkey that all workers share: `redis://` or `unix://`; `redis+sentinel://`, `redis+cluster://`; "
        "`rediss` instead of `redis` for TLS",
        flag="--redis-url",
    )
    data_dir: Path = _variable(  # noqa: RUF009 - it makes a field, and data_dir a default factory
        "DATA_DIR",
        default_data_dir,
        "the platform's data folder",
        parsing.folder,
        "Folder of the embedded Valkey, used by one server at a time",
        flag="--data-dir",
    )
    jwt_secret: str | None = _variable(
        "JWT_SECRET",
        None,
        "none",
        parsing.secrets,
        "Secret of tokens signed with HS256, or two, comma-separated, while one is being changed. "
        "`serve` needs this or the key set",
    )
    jwks_url: str | None = _variable(
        "JWKS_URL",
        None,
        "none",
        parsing.http_url,
        "Address of the issuer's key set, for tokens signed with RS256, ES256 or EdDSA",
        flag="--jwks-url",
    )
    jwt_audience: str | None = _variable(
        "JWT_AUDIENCE", None, "none: ignored", parsing.text, "What `aud` of a token must contain"
    )
    jwt_issuer: str | None = _variable(
        "JWT_ISSUER", None, "none: ignored", parsing.text, "What `iss` of a token must be"
    )
    allowed_origins: tuple[str, ...] = _variable(
        "ALLOWED_ORIGINS",
        (),
        "same host only",
        parsing.origins,
        "Comma-separated origins whose pages may connect and call the HTTP interface: `https://app.example.com`, "
        "`https://*.example.com` for any host below it, `*` for any",
        flag="--allowed-origins",
    )
    trusted_proxies: tuple[str, ...] = _variable(
        "TRUSTED_PROXIES",
        (),
        "none",
        parsing.proxies,
        "Comma-separated addresses and networks whose forwarded client addresses are believed, `*` for any",
        flag="--trusted-proxies",
    )
    idle_timeout_ms: int = _variable(
        "IDLE_TIMEOUT",
        600_000,
        "`600`",
        parsing.milliseconds(),
        "Seconds without input after which a user is offline; a team may have its own",
    )
    disconnect_grace_ms: int = _variable(
        "DISCONNECT_GRACE",
        20_000,
        "`20`",
        parsing.milliseconds(zero=True),
        "Seconds for which a lost connection is forgiven",
    )
    lease_ttl_ms: int = _variable(
        "LEASE_TTL",
        30_000,
        "`30`",
        parsing.milliseconds(),
        "Seconds a worker's word lasts, renewed every third; two thirds of it must not be shorter than the grace",
    )
    heartbeat_interval_ms: int = _variable(
        "HEARTBEAT_INTERVAL", 25_000, "`25`", parsing.milliseconds(), "Seconds between the heartbeats asked of clients"
    )
    handshake_timeout_s: float = _variable(
        "HANDSHAKE_TIMEOUT",
        10.0,
        "`10`",
        parsing.seconds(),
        "Seconds a TCP connection has to send a whole request; a `hello` has five seconds from its handshake",
    )
    keep_alive_s: float = _variable(
        "KEEP_ALIVE",
        75.0,
        "`75`",
        parsing.seconds(),
        "Seconds an idle HTTP connection is kept; longer than the balancer in front keeps its own",
    )
    ping_interval_s: float = _variable(
        "PING_INTERVAL", 20.0, "`20`", parsing.seconds(), "Seconds between WebSocket pings by the server"
    )
    ping_timeout_s: float = _variable(
        "PING_TIMEOUT",
        20.0,
        "`20`",
        parsing.seconds(),
        "Seconds within which a ping must be answered; who is still taking what was sent before it is waited for",
    )
    coalesce_s: float = _variable(
        "COALESCE",
        0.1,
        "`0.1`",
        parsing.seconds(zero=True),
        "Seconds for which changes that follow a team's first are gathered; grows to 0.5 under load",
    )
    remember_ms: int = _variable(
        "REMEMBER", 2_592_000_000, "`2592000`", parsing.milliseconds(), "Seconds an absent user's chosen status is kept"
    )
    max_connections_per_user: int = _variable(
        "MAX_CONNECTIONS_PER_USER",
        20,
        "`20`",
        parsing.count,
        "Connections of one user to one worker; one more closes the oldest",
    )
    drain_timeout_s: float = _variable(
        "DRAIN_TIMEOUT",
        15.0,
        "`15`",
        parsing.seconds(zero=True),
        "Seconds over which connections are closed on SIGTERM",
        flag="--drain-timeout",
    )
    key_prefix: str = _variable(
        "KEY_PREFIX", "presence", "`presence`", parsing.key_prefix, "First part of every Redis key", flag="--key-prefix"
    )
    workers: int = _variable(
        "WORKERS",
        1,
        "`1`",
        parsing.workers,
        "Processes that `serve` starts and watches on one port",
        flag="--workers",
    )
    log_level: str = _variable(
        "LOG_LEVEL",
        "info",
        "`info`",
        parsing.one_of("debug", "info", "warning", "error", "critical"),
        "Least severe messages to log: `debug`, `info`, `warning`, `error` or `critical`",
        flag="--log-level",
    )
    log_format: str = _variable(
        "LOG_FORMAT",
        "text",
        "`text`",
        parsing.one_of("text", "json"),
        "`text`, or `json` for one object a line",
        flag="--log-format",
    )

    @property
    def jwt_secrets(self) -> tuple[str, ...]:
        """The secrets that tokens may be signed with; the first is the one to sign with."""
        return () if self.jwt_secret is None else tuple(self.jwt_secret.split(","))


VARIABLES: Final = tuple(Variable(field=row.name, **row.metadata) for row in fields(Settings))
"""The table, in the order of the contract."""


def load(environ: Mapping[str, str], overrides: Mapping[str, str | None], *, key_required: bool = False) -> Settings:
    """Read, check and put together all settings.

    Args:
        environ: the environment; a variable that is empty counts as not set.
        overrides: text by field of `Settings`, from the command line; None counts as not given. They win.
        key_required: whether a key to verify tokens with must be given.

    Raises:
        SettingsError: with every fault there is.
    """
    values: dict[str, Any] = {"data_dir": default_data_dir(environ)}
    faults: dict[str, str] = {}
    for variable in VARIABLES:
        given = overrides.get(variable.field)
        source = variable.name if given is None else variable.flag or variable.field
        text = environ.get(variable.name, "") if given is None else given
        # Compose files and unit files write `NAME=` for "not set".
        if not text and given is None:
            continue
        try:
            values[variable.field] = variable.parse(text)
        except ValueError as error:
            faults[variable.field] = f"{source}: {error}"
    settings = Settings(**values)
    # Of what could not be read, nothing more is said than that.
    contradictions = [fault for about, fault in _contradictions(settings) if not about & faults.keys()]
    if key_required and not (settings.jwt_secret or settings.jwks_url or {"jwt_secret", "jwks_url"} & faults.keys()):
        contradictions.append(NO_KEY)
    if faults or contradictions:
        raise SettingsError([*faults.values(), *contradictions])
    return settings


def _contradictions(settings: Settings) -> Iterator[tuple[set[str], str]]:
    """What is wrong about settings that are each fine by themselves, with the fields it is about."""
    if 2 * settings.lease_ttl_ms < 3 * settings.disconnect_grace_ms:
        lease_s, grace_s = settings.lease_ttl_ms / 1000, settings.disconnect_grace_ms / 1000
        yield (
            {"lease_ttl_ms", "disconnect_grace_ms"},
            "PRESENCE_LEASE_TTL: Expected two thirds of it not to be shorter than PRESENCE_DISCONNECT_GRACE, "
            f"got {lease_s:g} and {grace_s:g}. Raise the lease to at least {grace_s * 1.5:g} or lower the grace",
        )
    if settings.metrics_port == settings.port:
        yield (
            {"metrics_port", "port"},
            f"PRESENCE_METRICS_PORT: Expected another port than PRESENCE_PORT, got {settings.port} for both",
        )
    if settings.redis_url is None and not settings.data_dir.is_absolute():
        yield (
            {"redis_url", "data_dir"},
            "PRESENCE_DATA_DIR: Expected an absolute path, since this account has no home directory, got none. "
            "Set it, or PRESENCE_REDIS_URL",
        )


def advice(environ: Mapping[str, str], settings: Settings) -> list[str]:
    """What works but is probably not meant: one sentence each, naming the variable."""
    found = []
    known = [variable.name.removeprefix(PREFIX) for variable in VARIABLES]
    for name in sorted(environ):
        rest = name.removeprefix(PREFIX)
        if rest not in (name, *known):
            close = difflib.get_close_matches(rest, known, n=1)
            found.append(f"{name}: No such setting" + (f"; did you mean {PREFIX}{close[0]}?" if close else ""))
    secret_bytes = min((len(secret.encode()) for secret in settings.jwt_secrets), default=SOUND_SECRET_BYTES)
    if secret_bytes < SOUND_SECRET_BYTES:
        found.append(
            f"PRESENCE_JWT_SECRET: Expected at least {SOUND_SECRET_BYTES} bytes for HS256 (RFC 7518 section 3.2), "
            f"got {secret_bytes}. A short one can be found by trying"
        )
    if settings.jwks_url is not None and parsing.is_clear_text(settings.jwks_url):
        found.append("PRESENCE_JWKS_URL: Expected https, got http. Who changes its answers can sign in as anyone")
    return found


def markdown_table() -> str:
    """The table for the documentation, in Markdown, ending with a line feed."""
    lines = ["| Variable | Flag | Default | Meaning |", "| --- | --- | --- | --- |"]
    for variable in VARIABLES:
        flag = f"`{variable.flag}`" if variable.flag else ""
        lines.append(f"| `{variable.name}` | {flag} | {variable.default} | {variable.help}. |")
    return "\n".join(lines) + "\n"
