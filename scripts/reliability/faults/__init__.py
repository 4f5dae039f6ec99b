"""All faults there are, by name."""

from __future__ import annotations

from typing import Final

from reliability.faults import clients, cluster, failover, network, redis, workers
from reliability.faults.fault import Fault

FAULTS: Final[dict[str, Fault]] = {
    fault.name: fault for area in (workers, redis, failover, cluster, network, clients) for fault in area.FAULTS
}
