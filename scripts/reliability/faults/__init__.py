"""All faults there are, by name."""

from __future__ import annotations

from typing import Final

from reliability.faults import clients, failover, network, redis, workers
from reliability.faults.fault import Fault

FAULTS: Final[dict[str, Fault]] = {
    fault.name: fault for fault in (*workers.FAULTS, *redis.FAULTS, *failover.FAULTS, *network.FAULTS, *clients.FAULTS)
}
