"""What a worker counts: plain numbers, cheap to raise; the edge turns them into metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from enum import StrEnum
from typing import Final

LATENCY_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ResyncCause(StrEnum):
    """Why a team's roster was read again."""

    HOLE = "hole"
    """A message came, and the one before it had not."""
    FORK = "fork"
    """A message continues another history than the roster's: Redis lost a change, and another took its number."""
    OTHER_EPOCH = "other_epoch"
    """A message is of another epoch."""
    UNHEARD = "unheard"
    """Redis has answered with a version of which no message came."""
    LOST = "lost"
    """Redis stands behind, or beside, what it had told: a failover lost writes, or the team's keys are gone."""
    REFUSED = "refused"
    """Redis would not let the team be read when it came back: its keys are broken."""


class Histogram:
    """Observations by bucket.

    Attributes:
        bounds_s: upper bounds of the buckets, seconds, inclusive.
        counts: observations by bucket, one more than bounds: the last has no upper bound.
        total: sum of the observations, seconds.
    """

    __slots__ = ("bounds_s", "counts", "total")

    def __init__(self, bounds_s: tuple[float, ...] = LATENCY_BOUNDS_S) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds_s, seconds)] += 1
        self.total += seconds


class Counters:
    """One worker's counts since it started.

    Attributes:
        connections_opened: connections whose hello was carried out.
        connections_closed: connections ended, by close code.
        heartbeats: heartbeats received.
        messages: messages received, heartbeats included.
        changes_published: changes that this worker's calls have made in Redis.
        updates_delivered: changes times the connections they were sent to.
        frames_sent: frames of snapshots and deltas sent.
        resyncs: times a roster was read again because something was missed, by `ResyncCause`.
        false_offline: users shown offline as disconnected while this worker had connections of theirs.
        deadlines_deferred: deadlines that a sweep of this worker found put off, since nobody had swept for a while.
        refusals: what was refused, by wire code or close code.
        redis_calls: commands sent to Redis.
        redis_failures: pipelines that failed.
        delivery_latency: from a change's `since` to its delivery, seconds.
        sweep_lag: from a deadline to its commit, seconds.
        event_loop_lag: how much later than asked for the event loop came back to who slept, seconds.
    """

    __slots__ = (
        "changes_published",
        "connections_closed",
        "connections_opened",
        "deadlines_deferred",
        "delivery_latency",
        "event_loop_lag",
        "false_offline",
        "frames_sent",
        "heartbeats",
        "messages",
        "redis_calls",
        "redis_failures",
        "refusals",
        "resyncs",
        "sweep_lag",
        "updates_delivered",
    )

    def __init__(self) -> None:
        self.connections_opened = 0
        self.connections_closed: Counter[int] = Counter()
        self.heartbeats = 0
        self.messages = 0
        self.changes_published = 0
        self.updates_delivered = 0
        self.frames_sent = 0
        self.resyncs: Counter[str] = Counter()
        self.false_offline = 0
        self.deadlines_deferred = 0
        self.refusals: Counter[str] = Counter()
        self.redis_calls = 0
        self.redis_failures = 0
        self.delivery_latency = Histogram()
        self.sweep_lag = Histogram()
        self.event_loop_lag = Histogram()
