"""What an operator sees: counters in Prometheus's text format, and never a name of a team or user.

A process knows its own. Where a supervisor runs several on one port, whichever is asked answers with the sum of all.
(prometheus-client's way of doing that, values in files that every process maps, knows neither collectors like these nor
the figures of a process, and keeps the files of all that have ever run.)
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from presence_server.live.counters import ResyncCause
from presence_server.web.bodies import NO_STORE
from presence_server.web.strangers import strangers_of
from presence_server.web.totals import LEASE_AGE, RESTARTS, Family

if TYPE_CHECKING:
    from presence_server.live.counters import Counters, Histogram
    from presence_server.live.worker import Worker


async def metrics(request: Request) -> Response:
    """Answer a scrape, in the format that its `Accept` prefers."""
    # A balancer that keeps this path to itself compares it as it is written.
    if request.scope.get("raw_path", _PATH.encode()) != _PATH.encode():
        raise HTTPException(404)
    state = request.app.state
    if state.settings.metrics_port not in (None, (request.scope.get("server") or ("", None))[1]):
        raise HTTPException(404)
    families = await (state.add_up() if hasattr(state, "add_up") else collect(request.app))
    body, media_type = await asyncio.to_thread(_encode, families, request.headers.get("accept", ""))
    return Response(body, headers={**NO_STORE, "Content-Type": media_type})


_PATH: Final = "/metrics"

route: Final = Route(_PATH, metrics)


async def collect(app: Starlette) -> list[Metric]:
    """Return the figures of this process alone, as of now."""
    families = [*families_of(app.state.worker), *_of_the_port(app)]
    # The counters are read here, where nobody changes them; the process's figures are files, as many as there are
    # sockets, and would hold up everybody.
    return families + await asyncio.to_thread(_of_process)


def to_plain(families: Iterable[Metric]) -> list[Family]:
    """Return metrics as what `web.totals` adds up."""
    return [
        (
            each.name,
            each.type,
            each.documentation,
            [(sample.name, sample.labels, sample.value) for sample in each.samples],
        )
        for each in families
    ]


def from_plain(families: Iterable[Family]) -> list[Metric]:
    """Return what was added up as metrics."""
    found = []
    for name, kind, text, samples in families:
        metric = Metric(name, text, kind)
        for sample in samples:
            metric.add_sample(*sample)
        found.append(metric)
    return found


def families_of(worker: Worker) -> Iterator[Metric]:
    """Return the worker's metrics as of now."""
    counters = worker.counters
    yield GaugeMetricFamily("presence_workers", "Processes that these figures are of.", 1)
    yield CounterMetricFamily(
        RESTARTS, "Processes that ended by themselves and were started again by the supervisor.", 0
    )
    yield from _gauges(worker)
    yield from _totals(counters)
    yield _labelled(
        "presence_resyncs_total",
        "Times a team was read again because something was missed, by cause.",
        "cause",
        dict.fromkeys(ResyncCause, 0) | counters.resyncs,
    )
    yield _labelled(
        "presence_connections_closed_total",
        "WebSocket connections that ended, by close code.",
        "code",
        counters.connections_closed,
    )
    yield _labelled(
        "presence_refusals_total",
        "Messages, connections and requests that were refused, by error code or close code.",
        "code",
        counters.refusals,
    )
    yield _histogram(
        "presence_delivery_latency_seconds",
        "From the commit of a change in Redis to its delivery by this worker.",
        counters.delivery_latency,
    )
    yield _histogram(
        "presence_sweep_lag_seconds",
        "From the deadline of going offline to its commit, by the sweeps of this worker.",
        counters.sweep_lag,
    )
    yield _histogram(
        "presence_event_loop_lag_seconds",
        "How much later than asked for the event loop came back to who slept, looked at twice a second.",
        counters.event_loop_lag,
    )


def _of_the_port(app: Starlette) -> Iterator[Metric]:
    yield _labelled(
        "presence_junk_requests_total",
        "What came to the port and was no request as HTTP has it, by kind.",
        "kind",
        strangers_of(app).kinds,
    )
    descriptors = getattr(app.state, "descriptors", None)
    yield CounterMetricFamily(
        "presence_accept_pauses",
        "Times that no more connections were accepted for a moment, to keep file descriptors back.",
        0 if descriptors is None else descriptors.refusals,
    )


def _gauges(worker: Worker) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "presence_ready",
        "Workers that can serve: not while Redis is out of reach of them, nor while they drain.",
        int(worker.ready and not worker.draining),
    )
    yield GaugeMetricFamily(
        "presence_connections", "WebSocket connections open on this worker.", worker.connection_count()
    )
    teams, stale = worker.team_counts()
    yield GaugeMetricFamily("presence_teams", "Teams that this worker follows.", teams)
    yield GaugeMetricFamily(
        "presence_teams_stale",
        "Teams of these whose statuses may be stale: all while Redis is out of reach, else those that it refuses.",
        stale,
    )
    yield GaugeMetricFamily(
        LEASE_AGE,
        "Seconds since the beat by which the others know that this worker lives; of several processes the oldest.",
        worker.lease_age_s(),
    )
    users = GaugeMetricFamily(
        "presence_users", "Users of the teams this worker has connections of, by status.", labels=["status"]
    )
    for status, count in worker.users_by_status().items():
        users.add_metric([status], count)
    yield users


def _totals(counters: Counters) -> Iterator[Metric]:
    for name, text, value in (
        ("connections_opened", "WebSocket connections whose hello was carried out.", counters.connections_opened),
        ("messages", "Messages received from clients, heartbeats included.", counters.messages),
        ("heartbeats", "Heartbeats received.", counters.heartbeats),
        ("changes_published", "Changes that this worker has made in Redis.", counters.changes_published),
        ("updates_delivered", "Changes, times the connections they were sent to.", counters.updates_delivered),
        ("frames_sent", "WebSocket frames of snapshots and deltas sent.", counters.frames_sent),
        (
            "false_offline",
            "Users shown offline as disconnected while this worker had connections of theirs.",
            counters.false_offline,
        ),
        (
            "deadlines_deferred",
            "Deadlines that a sweep found put off, since nobody had swept for a while.",
            counters.deadlines_deferred,
        ),
        ("redis_calls", "Commands sent to Redis.", counters.redis_calls),
        ("redis_failures", "Pipelines to Redis that failed.", counters.redis_failures),
    ):
        yield CounterMetricFamily(f"presence_{name}", text, value)


def _labelled(name: str, text: str, label: str, values: Mapping[int, int] | Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*map(floatToGoString, histogram.bounds_s), "+Inf"]
    buckets = list(zip(bounds, itertools.accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets, histogram.total)


def _of_process() -> list[Metric]:
    found = list(ProcessCollector(registry=None).collect())
    found += PlatformCollector(registry=None).collect()
    # By itself it goes to the registry that it is given, and takes none for an answer.
    found += GCCollector(registry=CollectorRegistry()).collect()
    return found


class _Read(Collector):
    """Families that were read already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _encode(families: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    # A registry for each scrape: it holds nothing, and so there is nothing global to share or to unregister.
    registry = CollectorRegistry()
    registry.register(_Read(families))
    encoder, media_type = choose_encoder(accept)
    return encoder(registry), media_type
