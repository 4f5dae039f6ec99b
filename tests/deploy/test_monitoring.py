"""The dashboard and the alerts ask for what a running server tells, and each alert fires when it should."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families as parse_text

from presence_server.core.codes import CloseCode, ErrorCode
from tests.support.balancer import find
from tests.support.site import Site
from tests.support.timing import SOON_S
from tests.support.worker import ROOT
from tests.test_docs import OPERATIONS, first_cells, section

MONITORING = ROOT / "deploy" / "monitoring"
CASES = Path(__file__).with_name("alerts.yml")

Labels = dict[str, set[str]]
"""Of each metric the names of its labels."""


def alerts() -> list[dict[str, Any]]:
    """All alerting rules."""
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def panels() -> list[dict[str, Any]]:
    """All panels that show something."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    """Everything that is asked of Prometheus, with what Grafana puts in the place of its variables."""
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m").replace("$job", ".+").replace("$instance", ".+")


def promtool(*arguments: str | Path) -> str:
    command = [find("promtool", "prometheus"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def told_by(site: Site) -> Labels:
    """What a server tells, after something of each kind that is counted by a label."""
    maria = await site.connect("maria")
    await maria.logout()
    await site.api(None).refused(401, "GET", f"/v1/teams/{site.team}/presence")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.workers[0].port)
    writer.write(b"not HTTP\r\n\r\n")
    await asyncio.wait_for(reader.read(), SOON_S)
    writer.close()
    exposed = (await site.api(None).request("GET", "/metrics")).text
    found: Labels = {}
    for family in parse_text(exposed):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def asked_for(query: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics of a query, each with the labels it is selected, or added up, by."""
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", query) for label in re.findall(r"\w+", group)}
    for name, matchers in re.findall(r"\b((?:presence|process|python)_\w+)(?:\{([^}]*)\})?", query):
        yield name, grouped | set(re.findall(r"(\w+)\s*[=!]", matchers))


async def test_every_query_asks_for_what_a_server_tells(site: Site) -> None:
    told = await told_by(site)
    asked = [(name, labels, query) for query in queries() for name, labels in asked_for(query)]
    assert len(asked) > 60
    for name, labels, query in asked:
        assert name in told, f"Expected a metric that there is, got {name} in {query}"
        # The other two are Prometheus's own, of where it has asked.
        assert labels - {"instance", "job"} <= told[name], f"Expected labels of {name}, got {labels} in {query}"


async def test_every_label_is_documented(site: Site) -> None:
    table = section(OPERATIONS, "## Metrics")
    documented = {name: {label} - {""} for name, label in re.findall(r"^\| `(\w+)(?:\{(\w+)\})?`", table, re.MULTILINE)}
    told = await told_by(site)
    # Histograms have none of their own.
    counted = documented.keys() & told.keys()
    assert len(counted) > 20
    assert {name: documented[name] for name in counted} == {name: told[name] for name in counted}


async def test_the_bounds_that_are_asked_for_are_buckets(site: Site) -> None:
    exposed = (await site.api(None).request("GET", "/metrics")).text
    asked = {bound for query in queries() for bound in re.findall(r'\ble="([^"]*)"', query)}
    assert asked == {"1.0"}
    assert 'presence_delivery_latency_seconds_bucket{le="1.0"}' in exposed


def test_the_codes_that_are_asked_for_are_codes() -> None:
    known = {str(code) for code in ErrorCode} | {str(code.value) for code in CloseCode}
    asked = [
        code for query in queries() for codes in re.findall(r'code=~?"([^"]*)"', query) for code in codes.split("|")
    ]
    assert len(asked) > 4
    assert set(asked) <= known


def test_every_query_is_one(tmp_path: Path) -> None:
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(queries())]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)


def test_each_alert_fires_when_it_should_and_none_where_all_is_well() -> None:
    names = {alert["alert"] for alert in alerts()}
    well, *ill = yaml.safe_load(CASES.read_text())["tests"]
    assert {case["alertname"] for case in well["alert_rule_test"]} == names
    assert not any(case["exp_alerts"] for case in well["alert_rule_test"])
    assert {case["alertname"] for each in ill for case in each["alert_rule_test"] if case["exp_alerts"]} == names
    promtool("test", "rules", CASES)


def test_every_alert_is_documented() -> None:
    documented = first_cells(section(OPERATIONS, "## Alerts")) - {"Alert"}
    assert documented == {alert["alert"] for alert in alerts()}
    assert {alert["labels"]["severity"] for alert in alerts()} == {"page", "ticket"}


def test_the_dashboard_shows_every_metric() -> None:
    """Whatever is worth counting is worth a look."""
    shown = {name for panel in panels() for target in panel["targets"] for name, _ in asked_for(target["expr"])}
    documented = {name.partition("{")[0] for name in first_cells(section(OPERATIONS, "## Metrics")) - {"Metric"}}
    assert {re.sub(r"_(bucket|count)$", "", name) for name in shown if name.startswith("presence_")} == documented


def test_panels_are_explained_and_lie_beside_each_other() -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    taken: Counter[tuple[int, int]] = Counter()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        taken.update((x, y) for x in columns for y in range(place["y"], place["y"] + place["h"]))
    assert max(taken.values()) == 1
    assert max(x for x, _ in taken) < 24
    for panel in panels():
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]


def test_what_a_query_asks_for() -> None:
    query = 'sum by (le, code) (rate(presence_a_bucket{le="1.0", job=~"x"}[5m])) / presence_b and process_c{d!="e"} > 1'
    assert list(asked_for(query)) == [
        ("presence_a_bucket", {"le", "code", "job"}),
        ("presence_b", {"le", "code"}),
        ("process_c", {"le", "code", "d"}),
    ]
