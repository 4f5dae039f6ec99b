"""The Lua scripts: loaded from beside their operations, with what is constant bound in front."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Final, Literal, TypeAlias

from presence_server.settings import Settings

# How long an offline user stays among a team's changes, so that views that were away can be continued with a delta.
RETAIN_MS: Final = 3_600_000
# A sweeper that dies leaves its teams to others after so long.
CLAIM_MS: Final = 1_000
# Everybody claims twice a second; an interval of this length without any is one in which nobody could.
GAP_MS: Final = 2_000

REDIS_TIME: Final = "redis.call('TIME')"

Publish: TypeAlias = Literal["PUBLISH", "SPUBLISH"]

# Each script's name, and what stands in front of it.
_READ: Final = ("team",)
_CHANGE: Final = ("team", "users", "rule", "finish")
_WRITE: Final = (*_CHANGE, "write")
_DROP: Final = (*_CHANGE, "holds", "write")
_SWEEP: Final = (*_CHANGE, "fences", "deadlines", "holds")
_INDEX: Final = ("index",)
_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "hold": _WRITE,
    "choose": _WRITE,
    "sign_out": _DROP,
    "configure": _WRITE,
    "drop": _DROP,
    "part": (*_CHANGE, "fences"),
    "touch": _CHANGE,
    "sweep": _SWEEP,
    "realign": _SWEEP,
    "restore": _CHANGE,
    "new_epoch": _CHANGE,
    "changes": _READ,
    "details": _READ,
    "claim": _INDEX,
    "enlist": _INDEX,
    "doubt": _INDEX,
    "swept": _INDEX,
}


class Script:
    """One script: its name, source and the SHA-1 that EVALSHA calls it by."""

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


@cache
def _source(name: str) -> str:
    return (resources.files("presence_server.store") / "operations" / f"{name}.lua").read_text(encoding="utf-8")


class Scripts:
    """All scripts, by name: `scripts["hold"]`.

    Args:
        settings: whose defaults are bound.
        feed_suffix: what makes a team's base its channel.
        time: the Lua expression of Redis's clock, as `TIME` gives it; tests have a clock of their own.
        publish: the command that publishes: to a whole server, or to the shard that has the channel's slot.
    """

    def __init__(
        self, settings: Settings, feed_suffix: str, *, time: str = REDIS_TIME, publish: Publish = "PUBLISH"
    ) -> None:
        constants = {
            "LEASE_MS": settings.lease_ttl_ms,
            "GRACE_MS": settings.disconnect_grace_ms,
            "REMEMBER_MS": settings.remember_ms,
            "IDLE_MS": settings.idle_timeout_ms,
            "RETAIN_MS": RETAIN_MS,
            "CLAIM_MS": CLAIM_MS,
            "GAP_MS": GAP_MS,
            "KEEP_MS": settings.remember_ms + settings.lease_ttl_ms,
            "PUBLISH": f"'{publish}'",
            "FEED": f"'{feed_suffix}'",
        }
        bound = "".join(f"local {name} = {value}\n" for name, value in constants.items())
        self._scripts = {
            name: Script(name, bound + "\n".join(map(_source, (*parts, name))).replace(REDIS_TIME, time))
            for name, parts in _PARTS.items()
        }

    def __getitem__(self, name: str) -> Script:
        return self._scripts[name]

    def all(self) -> list[Script]:
        """Every script."""
        return list(self._scripts.values())
