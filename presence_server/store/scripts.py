"""The Lua scripts, each with the part all of a team's scripts share in front."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Final


class Script:
    """One script: its name, source and the SHA-1 that EVALSHA calls it by."""

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


@cache
def _source(name: str) -> str:
    return (resources.files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def _of_team(name: str) -> Script:
    return Script(name, _source("_team") + "\n" + _source(name))


JOIN: Final = _of_team("join")
RENEW: Final = _of_team("renew")
LEAVE: Final = _of_team("leave")
CHOOSE: Final = _of_team("choose")
SIGN_OUT: Final = _of_team("sign_out")
CONFIGURE: Final = _of_team("configure")
SETTLE: Final = _of_team("settle")
SWEEP: Final = _of_team("sweep")
CHANGES: Final = _of_team("changes")
DETAIL: Final = _of_team("detail")
RESTORE: Final = _of_team("restore")
NEW_EPOCH: Final = _of_team("new_epoch")
CLAIM: Final = Script("claim", _source("claim"))
RESCHEDULE: Final = Script("reschedule", _source("reschedule"))

ALL: Final = (
    JOIN,
    RENEW,
    LEAVE,
    CHOOSE,
    SIGN_OUT,
    CONFIGURE,
    SETTLE,
    SWEEP,
    CHANGES,
    DETAIL,
    RESTORE,
    NEW_EPOCH,
    CLAIM,
    RESCHEDULE,
)
