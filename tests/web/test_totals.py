"""Adding up what processes have counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server.web import totals
from presence_server.web.totals import Family

MESSAGES = "presence_messages"


def counter(value: float, **labels: str) -> Family:
    return [MESSAGES, "counter", "Messages.", [[f"{MESSAGES}_total", labels, value]]]


def gauge(name: str, value: float) -> Family:
    return [name, "gauge", "Something.", [[name, {}, value]]]


def samples(families: list[Family]) -> dict[Any, float]:
    return {(name, *labels.items()): value for _, _, _, found in families for name, labels, value in found}


def test_samples_of_the_same_name_and_labels_are_added() -> None:
    found = totals.add([[counter(2, code="4001")], [counter(3, code="4001"), gauge("presence_ready", 1)], []])
    assert samples(found) == {(f"{MESSAGES}_total", ("code", "4001")): 5, ("presence_ready",): 1}
    assert [family[:3] for family in found] == [
        (MESSAGES, "counter", "Messages."),
        ("presence_ready", "gauge", "Something."),
    ]


def test_labels_that_one_process_alone_has_stay_apart() -> None:
    found = totals.add([[counter(2, code="4001")], [counter(3, code="4002")]])
    assert list(samples(found).values()) == [2, 3]


def test_what_means_nothing_as_a_sum_is_not_added() -> None:
    reports = [
        [gauge("python_info", 1), gauge("process_start_time_seconds", start), gauge(totals.LEASE_AGE, age)]
        for start, age in ((1000.5, 2.5), (900.5, 0.5))
    ]
    assert samples(totals.add(reports)) == {
        ("python_info",): 1,
        ("process_start_time_seconds",): 900.5,
        (totals.LEASE_AGE,): 2.5,
    }


def test_reports_are_not_changed_by_being_added() -> None:
    report = [counter(2)]
    totals.add([report, report])
    assert report == [counter(2)]


def test_of_a_process_that_has_ended_its_counts_stay_and_what_it_held_does_not() -> None:
    histogram = ["presence_sweep_lag_seconds", "histogram", "Lag.", [["presence_sweep_lag_seconds_sum", {}, 1.5]]]
    report = [counter(2), gauge("presence_connections", 7), histogram]
    assert totals.lasting(report) == [counter(2), histogram]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30))
def test_no_total_falls_whenever_processes_end(steps: list[tuple[int, int]]) -> None:
    """A process counts, or ends and another begins at 0 in its place: the sum goes up only."""
    counts, past, last = [0, 0, 0, 0], totals.add([]), 0.0
    for process, counted in steps:
        if counted:
            counts[process] += counted
        else:
            past = totals.add([past, totals.lasting([counter(counts[process])])])
            counts[process] = 0
        total = sum(samples(totals.add([past, *([counter(count)] for count in counts)])).values())
        assert total >= last
        last = total
    assert last == sum(counted for _, counted in steps)


@pytest.mark.parametrize("count", [0, 3])
def test_the_supervisors_report_adds_to_the_processes_own(count: int) -> None:
    own = [totals.RESTARTS, "counter", "Restarts.", [[f"{totals.RESTARTS}_total", {}, 0]]]
    (family,) = totals.add([[own], [own], totals.restarts(count)])
    assert family == (totals.RESTARTS, "counter", "Restarts.", [[f"{totals.RESTARTS}_total", {}, count]])
