"""The times of one run: the settings of its servers, and what the contract adds to them. Milliseconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in milliseconds.

    Attributes:
        lease: how long a worker's word lasts.
        grace: how long a lost connection is forgiven.
        heartbeat: between heartbeats of a client without input.
        ping: from the last sign of life of a connection until the server takes it for lost: ping interval and timeout.
        notice: how late going offline may be noticed (rule 10).
        agreement: how long after the last change every view is right (rule 9).
        transit: what a message may take from a client to Redis.
        renewal: how old a worker's last renewal may be.
        unavailable: how long a request waits for Redis (section 5, `ack`).
        gap: an interval without a sweep that is shorter puts off nothing.
        jitter: what is too short to be told from the way a message takes through this machine.
    """

    lease: int = 6_000
    grace: int = 3_000
    heartbeat: int = 2_000
    ping: int = 4_000
    notice: int = 1_500
    agreement: int = 1_000
    transit: int = 500
    renewal: int = 1_000
    unavailable: int = 10_000
    gap: int = 2_000
    jitter: int = 100

    @property
    def recovery(self) -> int:
        """How long after a fault everything is as it should be: an audit comes every third of a lease (rule 9)."""
        return self.lease // 3 + self.agreement
