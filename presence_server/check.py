"""What `presence-server check` looks at: the settings, and the Redis they lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from presence_server.errors import SettingsError, StartupError, Unavailable
from presence_server.settings import Settings, advice
from presence_server.store.embedded import EmbeddedValkey
from presence_server.store.probe import Instance, objection, probe

# ZRANGE … BYSCORE.
_OLDEST_REDIS: Final = (6, 2)
_NOTABLE_SKEW_MS: Final = 1_000
# What tokens are forgiven for a clock ahead of ours (section 4 of the contract).
_WORST_SKEW_MS: Final = 60_000


class Finding(NamedTuple):
    """One line of the report."""

    severity: Literal["ok", "warning", "failed"]
    text: str


def examine(environ: Mapping[str, str], load: Callable[[], Settings]) -> Iterator[Finding]:
    """Check everything that `serve` needs, one finding at a time; connects to Redis, or starts the embedded Valkey.

    Args:
        environ: the environment, looked through for what was probably not meant.
        load: gives the settings, or raises SettingsError.
    """
    try:
        settings = load()
    except SettingsError as error:
        yield from (Finding("failed", fault) for fault in error.faults)
        return
    yield from (Finding("warning", sentence) for sentence in advice(environ, settings))
    yield Finding("ok", "settings")
    if settings.redis_url is not None:
        yield from _examine_redis(settings.redis_url)
        return
    try:
        with EmbeddedValkey(settings.data_dir) as valkey:
            yield Finding("ok", f"embedded Valkey starts in {settings.data_dir}")
            yield from _examine_redis(valkey.url)
    except StartupError as error:
        yield Finding("failed", str(error))


def _examine_redis(url: str) -> Iterator[Finding]:
    if (wrong := objection(url)) is not None:
        yield Finding("failed", f"PRESENCE_REDIS_URL: {wrong}")
        return
    try:
        instance = asyncio.run(probe(url))
    except Unavailable as error:
        yield Finding("failed", str(error))
        return
    yield Finding("ok", "Redis answers")
    yield _judge_version(instance)
    yield _judge_clock(instance)
    if instance.evicts:
        yield Finding("warning", "Redis evicts keys when its memory is full: set maxmemory-policy noeviction")
    if not instance.persists:
        yield Finding(
            "warning", "Redis keeps no append-only file: a restart may forget chosen statuses; set appendonly yes"
        )


def _judge_version(instance: Instance) -> Finding:
    if instance.compatible < _OLDEST_REDIS:
        oldest = ".".join(map(str, _OLDEST_REDIS))
        return Finding("failed", f"Expected Redis {oldest} or newer, got {instance.product} {instance.version}")
    return Finding("ok", f"version: {instance.product} {instance.version}")


def _judge_clock(instance: Instance) -> Finding:
    side = "behind" if instance.ahead_ms < 0 else "ahead of"
    told = (
        f"clock: Redis is {abs(instance.ahead_ms) / 1000:.3f} s {side} this machine "
        f"(± {instance.uncertainty_ms / 1000:.3f} s)"
    )
    apart_ms = abs(instance.ahead_ms) - instance.uncertainty_ms
    if apart_ms > _WORST_SKEW_MS:
        return Finding("failed", f"{told}: tokens are judged wrongly; set both by NTP")
    if apart_ms > _NOTABLE_SKEW_MS:
        return Finding("warning", f"{told}: a forced sign-out may catch tokens issued after it; set both by NTP")
    return Finding("ok", told)
