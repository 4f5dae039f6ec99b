"""`configure.lua`: set a team's own settings (section 6)."""

from __future__ import annotations

from typing import NamedTuple

NAME = "configure"

DEFAULT_IDLE = 0
DEFAULT_GRACE = -1
KEEP_IDLE = -1
KEEP_GRACE = -2


class Settings(NamedTuple):
    """What to set.

    Attributes:
        idle_timeout_ms: the idle timeout, `DEFAULT_IDLE`, or `KEEP_IDLE`.
        grace_ms: the disconnect grace, `DEFAULT_GRACE`, or `KEEP_GRACE`.
    """

    idle_timeout_ms: int
    grace_ms: int
