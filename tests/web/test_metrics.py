"""What Prometheus scrapes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from presence_server.live.counters import Counters, Histogram, ResyncCause
from presence_server.web.metrics import families_of
from tests.support import tokens
from tests.web.edge import Edge, running

NAMES = {
    "presence_workers",
    "presence_worker_restarts_total",
    "presence_ready",
    "presence_connections",
    "presence_users",
    "presence_connections_opened_total",
    "presence_connections_closed_total",
    "presence_messages_total",
    "presence_heartbeats_total",
    "presence_changes_published_total",
    "presence_updates_delivered_total",
    "presence_frames_sent_total",
    "presence_resyncs_total",
    "presence_refusals_total",
    "presence_redis_calls_total",
    "presence_redis_failures_total",
    "presence_delivery_latency_seconds",
    "presence_sweep_lag_seconds",
    "presence_event_loop_lag_seconds",
    "presence_lease_age_seconds",
    "presence_teams",
    "presence_teams_stale",
    "presence_false_offline_total",
    "presence_deadlines_deferred_total",
    "presence_junk_requests_total",
    "presence_accept_pauses_total",
}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with running() as found:
        yield found


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scrape(edge: Edge) -> Samples:
    answer = await edge.call("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(answer.text)
        for sample in family.samples
    }


async def test_every_figure_is_there_and_explained(edge: Edge) -> None:
    text = (await edge.call("GET", "/metrics")).text
    assert set(re.findall(r"^# TYPE (presence_\S+)", text, re.MULTILINE)) == NAMES
    explained = dict(re.findall(r"^# HELP (presence_\S+) (.+)$", text, re.MULTILINE))
    assert set(explained) == NAMES
    assert all(help_text.endswith(".") for help_text in explained.values())


async def test_every_counter_is_shown(edge: Edge) -> None:
    """A number of its own for each counter: all of them come out, each under its own name."""
    counters = edge.worker.counters
    plain = [name for name in Counters.__slots__ if type(getattr(counters, name)) is int]
    for number, name in enumerate(plain):
        setattr(counters, name, 1000 + number)
    samples = await scrape(edge)
    for number, name in enumerate(plain):
        assert samples[f"presence_{name}_total", ()] == 1000 + number
    shown = {name.removeprefix("presence_").removesuffix("_total").removesuffix("_seconds") for name in NAMES}
    assert set(Counters.__slots__) <= shown


async def test_gauges(edge: Edge) -> None:
    samples = await scrape(edge)
    assert samples["presence_connections", ()] == 3
    assert samples["presence_users", (("status", "online"),)] == 1
    assert samples["presence_users", (("status", "busy"),)] == 1
    assert (samples["presence_teams", ()], samples["presence_teams_stale", ()]) == (5, 2)
    assert samples["presence_lease_age_seconds", ()] == 0.25


@pytest.mark.parametrize(
    ("ready", "draining", "shown"), [(True, False, 1), (False, False, 0), (True, True, 0), (False, True, 0)]
)
async def test_readiness(edge: Edge, ready: bool, draining: bool, shown: int) -> None:
    edge.worker.ready, edge.worker.draining = ready, draining
    assert (await scrape(edge))["presence_ready", ()] == shown


async def test_labelled_counters(edge: Edge) -> None:
    edge.worker.counters.connections_closed[4001] += 7
    edge.worker.counters.connections_closed[1000] += 2
    edge.worker.counters.refusals["bad_token"] += 5
    edge.worker.counters.resyncs[ResyncCause.HOLE] += 3
    samples = await scrape(edge)
    assert samples["presence_connections_closed_total", (("code", "4001"),)] == 7
    assert samples["presence_connections_closed_total", (("code", "1000"),)] == 2
    assert samples["presence_refusals_total", (("code", "bad_token"),)] == 5
    resyncs = {labels: value for (name, labels), value in samples.items() if name == "presence_resyncs_total"}
    assert resyncs == {(("cause", cause),): 3 if cause == "hole" else 0 for cause in ResyncCause}


async def test_refusals_over_http_are_counted(edge: Edge) -> None:
    await edge.call("GET", "/v1/teams/acme/presence")
    await edge.call("GET", "/v1/teams/acme/presence", tokens.mint("eve", []))
    samples = await scrape(edge)
    assert samples["presence_refusals_total", (("code", "bad_token"),)] == 1
    assert samples["presence_refusals_total", (("code", "not_a_member"),)] == 1


async def test_histograms_add_up(edge: Edge) -> None:
    histogram = edge.worker.counters.sweep_lag = Histogram((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(seconds)
    samples = await scrape(edge)
    name = "presence_sweep_lag_seconds"
    assert [samples[f"{name}_bucket", (("le", bound),)] for bound in ("0.1", "1.0", "+Inf")] == [2, 3, 4]
    assert samples[f"{name}_count", ()] == 4
    assert samples[f"{name}_sum", ()] == pytest.approx(3.65)


async def test_no_names_of_teams_or_users(edge: Edge) -> None:
    token = tokens.mint("maria", ["acme"])
    for path in ("/v1/teams/acme/presence/maria", "/v1/teams/secret-team/presence", "/v1/teams/acme/presence?status=x"):
        await edge.call("GET", path, token)
    labels = {key for _, label in await scrape(edge) for key in label if key[0] != "le"}
    presence = {value for name, value in labels if name in ("code", "status")}
    assert presence == {"online", "busy", "not_a_member", "unknown_status"}
    text = (await edge.call("GET", "/metrics")).text
    assert not re.search(r"maria|juan|acme|secret-team", text)


async def test_the_process_is_shown_too(edge: Edge) -> None:
    names = {name for name, _ in await scrape(edge)}
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info", "python_gc_collections_total"} <= names


async def test_two_servers_in_one_process_are_apart(edge: Edge) -> None:
    edge.worker.counters.messages = 1
    async with running() as other:
        other.worker.counters.messages = 2
        assert (await scrape(edge))["presence_messages_total", ()] == 1
        assert (await scrape(other))["presence_messages_total", ()] == 2


async def test_openmetrics_for_who_prefers_it(edge: Edge) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    answer = await edge.call("GET", "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(accept)
    families = {family.name for family in parse_openmetrics(answer.text)}  # type: ignore[no-untyped-call]
    assert "presence_connections" in families
    plain = await edge.call("GET", "/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_families_are_of_one_moment(edge: Edge) -> None:
    """What was read is not read again while it is written: the worker goes on meanwhile."""
    families = list(families_of(cast(Any, edge.worker)))
    edge.worker.counters.messages += 1
    (messages,) = [family for family in families if family.name == "presence_messages"]
    assert messages.samples[0].value == 0
