"""What `presence-server check` looks at: the settings, and the Redis they lead to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from presence_server.address import Address, parse
from presence_server.errors import SettingsError, StartupError, Unavailable
from presence_server.settings import Settings, advice
from presence_server.store.check import permissions
from presence_server.store.check.inspection import Inspection
from presence_server.store.check.instance import Instance, ask, objection
from presence_server.store.check.servers import Servers
from presence_server.store.check.survey import Survey, survey
from presence_server.store.cluster.cluster import PARTITIONS
from presence_server.store.connect import open_client
from presence_server.store.embedded import EmbeddedValkey
from presence_server.store.keys import Keys, keys_of_partitions
from presence_server.store.slots import number_of

# ZRANGE … BYSCORE.
_OLDEST_REDIS: Final = (6, 2)
_NOTABLE_SKEW_MS: Final = 1_000
# What tokens are forgiven for a clock ahead of ours (section 4 of the contract).
_WORST_SKEW_MS: Final = 60_000


class Finding(NamedTuple):
    """One line of the report."""

    severity: Literal["ok", "warning", "failed"]
    text: str


def examine(environ: Mapping[str, str], load: Callable[[], Settings], *, deep: bool = False) -> Iterator[Finding]:
    """Check everything that `serve` needs, one finding at a time; connects to Redis, or starts the embedded Valkey.

    Args:
        environ: the environment, looked through for what was probably not meant.
        load: gives the settings, or raises SettingsError.
        deep: whether to compare what Redis holds with what the contract allows, too.
    """
    try:
        settings = load()
    except SettingsError as error:
        yield from (Finding("failed", fault) for fault in error.faults)
        return
    yield from (Finding("warning", sentence) for sentence in advice(environ, settings))
    yield Finding("ok", "settings")
    if settings.redis_url is not None:
        yield from _examine_redis(settings.redis_url, settings, deep)
        return
    try:
        with EmbeddedValkey(settings.data_dir) as valkey:
            yield Finding("ok", f"embedded Valkey starts in {settings.data_dir}")
            yield from _examine_redis(valkey.url, settings, deep)
    except StartupError as error:
        yield Finding("failed", str(error))


def _examine_redis(url: str, settings: Settings, deep: bool) -> Iterator[Finding]:
    if (wrong := objection(url)) is not None:
        yield Finding("failed", f"PRESENCE_REDIS_URL: {wrong}")
        return
    try:
        yield from asyncio.run(_examine_servers(parse(url), settings, deep))
    except Unavailable as error:
        yield Finding("failed", str(error))


async def _examine_servers(address: Address, settings: Settings, deep: bool) -> list[Finding]:
    found = await survey(address)
    findings = list(_judge_sentinels(found)) if found.sentinels else []
    if found.is_cluster:
        findings.append(_judge_slots(found))
    for master in found.masters:
        try:
            findings += await _examine_master(found, master, settings.key_prefix)
        except Unavailable as error:
            findings.append(Finding("failed", f"Redis at {master}: {error}"))
    if deep:
        findings += await _examine_contents(found, settings, _keys_of(found, settings, address))
    return findings


async def _examine_master(found: Survey, master: Address, prefix: str) -> list[Finding]:
    instance = await ask(master)
    findings = list(judge(master, instance))
    if found.sentinels and not instance.replicas:
        findings.append(Finding("warning", f"Redis at {master}: has no replica that could take its place"))
    if found.sentinels and not instance.guarded:
        text = "goes on without replicas, and loses what it took then; set min-replicas-to-write 1"
        findings.append(Finding("warning", f"Redis at {master}: {text}"))
    findings += await _judge_rights(found, master, prefix)
    for node in instance.replicas:
        replica = master.at(node)
        try:
            findings += judge(replica, await ask(replica))
        except Unavailable as error:
            findings.append(Finding("warning", f"Redis at {replica}: a replica: {error}"))
    return findings


def _keys_of(found: Survey, settings: Settings, address: Address) -> Callable[[str], Keys]:
    """The names of keys of a team, and of the index that it is in."""
    count = PARTITIONS if found.is_cluster else 1
    every = keys_of_partitions(settings.key_prefix, address.database, count)
    return lambda team: every[number_of(team, count)]


async def _examine_contents(found: Survey, settings: Settings, keys_of: Callable[[str], Keys]) -> list[Finding]:
    try:
        async with Servers(found) as servers:
            inspection = Inspection(servers, settings, keys_of)
            faults = await inspection.faults()
    except Unavailable as error:
        return [Finding("failed", f"contents: {error}")]
    findings = [Finding("failed", fault.text) for fault in faults]
    if inspection.at_rest:
        at_rest = f"nobody sweeps {inspection.at_rest} of the teams: no worker is running, or none can write"
        findings.append(Finding("warning", f"contents: {at_rest}"))
    if not faults:
        findings.append(Finding("ok", f"contents: {inspection.teams} teams, all as they should be"))
    return findings


def _judge_sentinels(found: Survey) -> Iterator[Finding]:
    (master,) = found.masters
    agree = 0
    for word in found.sentinels:
        if word.master is None:
            yield Finding("warning", f"Sentinel at {word.sentinel}: {word.fault}")
        elif word.master not in master.nodes:
            yield Finding("warning", f"Sentinel at {word.sentinel}: says {word.master}, and the master is at {master}")
        else:
            agree += 1
            yield Finding("ok", f"Sentinel at {word.sentinel}: knows the master")
    if 2 * agree <= len(found.sentinels):
        text = f"Expected more than half of the Sentinels to know the master, got {agree} of {len(found.sentinels)}"
        yield Finding("failed", f"{text}: nobody would take its place")


def _judge_slots(found: Survey) -> Finding:
    if found.uncovered:
        return Finding("failed", f"cluster: Expected every slot to be served, got {found.uncovered} that are not")
    return Finding("ok", f"cluster: all slots are served, by {len(found.masters)} masters")


async def _judge_rights(found: Survey, master: Address, prefix: str) -> list[Finding]:
    # Keys have to lie in a slot that this master serves.
    tag = next(f"check.{n}" for n in itertools.count() if found.owner_of(f"{{check.{n}}}") == master)
    client = open_client(master)
    try:
        faults = await permissions.faults_of(client, prefix, tag, sharded=found.is_cluster)
    finally:
        await client.aclose()
    if faults:
        # One cause, one line: a server that takes no writes refuses a dozen commands.
        commands: dict[str, list[str]] = {}
        for command, _, reason in (fault.partition(": ") for fault in faults):
            commands.setdefault(reason, []).append(command)
        return [
            Finding("failed", f"Redis at {master}: cannot do {', '.join(refused)}: {reason}")
            for reason, refused in commands.items()
        ]
    return [Finding("ok", f"Redis at {master}: can be written, and this account may do all that is needed")]


def judge(address: Address, instance: Instance) -> Iterator[Finding]:
    """What is to be said about one Redis."""
    name = f"Redis at {address}"
    product = f"{instance.product} {instance.version}"
    if instance.compatible < _OLDEST_REDIS:
        oldest = ".".join(map(str, _OLDEST_REDIS))
        yield Finding("failed", f"{name}: Expected Redis {oldest} or newer, got {product}")
    else:
        replicas = f", replicas: {len(instance.replicas)}" if instance.role == "master" else ""
        yield Finding("ok", f"{name}: {product}, {instance.role}{replicas}")
    yield _judge_clock(name, instance)
    if instance.evicts is not None:
        text = f"maxmemory-policy {instance.evicts} throws keys away when memory is full; set noeviction"
        yield Finding("failed", f"{name}: {text}")
    if not instance.persists:
        text = "keeps no append-only file: a restart may forget chosen statuses; set appendonly yes"
        yield Finding("warning", f"{name}: {text}")


def _judge_clock(name: str, instance: Instance) -> Finding:
    side = "behind" if instance.ahead_ms < 0 else "ahead of"
    told = (
        f"{name}: its clock is {abs(instance.ahead_ms) / 1000:.3f} s {side} this machine's "
        f"(± {instance.uncertainty_ms / 1000:.3f} s)"
    )
    apart_ms = abs(instance.ahead_ms) - instance.uncertainty_ms
    if apart_ms > _WORST_SKEW_MS:
        return Finding("failed", f"{told}: tokens are judged wrongly; set both by NTP")
    if apart_ms > _NOTABLE_SKEW_MS:
        return Finding("warning", f"{told}: a forced sign-out may catch tokens issued after it; set both by NTP")
    return Finding("ok", told)
