"""How long tests wait. Everything scales with ``PRESENCE_TEST_UNIT``, for slow machines."""

from __future__ import annotations

import os
import time

UNIT = float(os.environ.get("PRESENCE_TEST_UNIT", "1"))

# The settings of the workers under test, where a test names no others.
LEASE_S = 3.0 * UNIT
GRACE_S = 1.5 * UNIT
DRAIN_S = 1.0 * UNIT

# Fixed by the contract, not by a setting.
NOTICE_S = 1.5
"""Rule 10: how late after its deadline going offline may be told."""
CONVERGE_S = 1.0
"""Rule 9: how long after the last change every view is right."""

SLACK_S = 3.0 * UNIT
"""What a busy machine may add to a time promised by the contract."""
SOON_S = 20.0 * UNIT
"""How long to wait for what has no promised time; never waited out when all is well."""


def now_ms() -> int:
    """The wall clock in milliseconds: the one Valkey on this machine stamps changes with."""
    return time.time_ns() // 1_000_000
