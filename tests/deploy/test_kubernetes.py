"""The manifests for Kubernetes: as its schemas have it, and fitting each other and the server."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from presence_server.settings import VARIABLES, load
from tests.support.worker import ROOT
from tests.test_docs import OPERATIONS, first_cells, section

MANIFESTS = ROOT / "deploy" / "kubernetes"
# The oldest that has all that is used here, and the newest that there is a schema of.
VERSIONS = ("1.27", kubernetes_validate.latest_version())

LABELS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
SERVICE_MONITOR: dict[str, Any] = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["endpoints", "selector"],
            "additionalProperties": False,
            "properties": {
                "jobLabel": {"type": "string"},
                "selector": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"matchLabels": LABELS},
                    "minProperties": 1,
                },
                "endpoints": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "path": {"type": "string"},
                            "interval": {"type": "string", "pattern": r"^([0-9]+m)?([0-9]+s)?$"},
                        },
                    },
                },
            },
        }
    },
}
"""The part of it that is used here, by the reference of its operator: ServiceMonitorSpec and Endpoint of
https://prometheus-operator.dev/docs/api-reference/api/"""


def manifests() -> dict[str, dict[str, Any]]:
    """All of them, by kind."""
    found = [yaml.safe_load(path.read_text()) for path in sorted(MANIFESTS.glob("*.yaml"))]
    return {manifest["kind"]: manifest for manifest in found}


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    return dict(manifests()["Deployment"]["spec"]["template"]["spec"])


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    return dict(found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"])
def test_each_is_as_the_schema_has_it(kind: str, version: str) -> None:
    kubernetes_validate.validate(manifests()[kind], version, strict=True)


def test_the_monitor_is_as_its_operator_has_it() -> None:
    jsonschema.validate(manifests()["ServiceMonitor"], SERVICE_MONITOR)


def test_what_is_not_in_a_schema_is_found() -> None:
    deployment = manifests()["Deployment"]
    deployment["spec"]["template"]["spec"]["drainSeconds"] = 15
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


def test_they_mean_each_other() -> None:
    found = manifests()
    assert found.keys() == {
        "Deployment",
        "Service",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "ServiceMonitor",
    }
    assert {manifest["metadata"]["name"] for manifest in found.values()} == {"presence-server"}
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["ServiceMonitor"]["spec"]["selector"]["matchLabels"] == found["Service"]["metadata"]["labels"]
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", found["Deployment"]["metadata"]["name"])
    # An apply would set them back to it.
    assert "replicas" not in found["Deployment"]["spec"]


def test_ports_have_the_names_that_are_asked_for(container: dict[str, Any]) -> None:
    found = manifests()
    given = {port["name"]: port["containerPort"] for port in container["ports"]}
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert given == {"http": load({}, {}).port, "metrics": int(variables["PRESENCE_METRICS_PORT"])}
    named = {port["name"]: port["targetPort"] for port in found["Service"]["spec"]["ports"]}
    assert named == {"http": "http", "metrics": "metrics"}
    assert [endpoint["port"] for endpoint in found["ServiceMonitor"]["spec"]["endpoints"]] == ["metrics"]
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        assert container[probe]["httpGet"]["port"] == "http"


def test_the_monitors_job_is_the_one_that_alerts_ask_for() -> None:
    found = manifests()
    job = found["Service"]["metadata"]["labels"][found["ServiceMonitor"]["spec"]["jobLabel"]]
    alerts = (ROOT / "deploy" / "monitoring" / "alerts.yml").read_text()
    assert set(re.findall(r'job="(\w+)"', alerts)) == {job}


def test_the_settings_are_valid(container: dict[str, Any]) -> None:
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables.keys() <= {variable.name for variable in VARIABLES}
    kept_secret = {"PRESENCE_JWT_SECRET": "0123456789abcdef", "PRESENCE_REDIS_URL": "redis://redis:6379/0"}
    load(variables | kept_secret, {}, key_required=True)
    assert container["envFrom"] == [{"secretRef": {"name": "presence-server"}}]
    comment = (MANIFESTS / "deployment.yaml").read_text()
    assert {name for name in kept_secret if f"--from-literal={name}=" in comment} == kept_secret.keys()


def test_a_pod_is_given_the_time_to_drain(pod: dict[str, Any], container: dict[str, Any]) -> None:
    program, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    # What draining takes beyond its time: the last requests, and the last words to Redis.
    overtime_s = 15
    assert pod["terminationGracePeriodSeconds"] >= int(seconds) + load({}, {}).drain_timeout_s + overtime_s
    ready = container["readinessProbe"]
    assert ready["httpGet"]["path"] == "/readyz"
    # Whoever asks the probes knows by SIGTERM that it takes no more.
    assert ready["periodSeconds"] * ready["failureThreshold"] <= int(seconds)
    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert manifests()["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_pod_gets_no_more_than_it_needs(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    # A service's variables would be taken for settings.
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_it_is_scaled_by_a_metric_that_there_is() -> None:
    spec = manifests()["HorizontalPodAutoscaler"]["spec"]
    names = {metric["pods"]["metric"]["name"] for metric in spec["metrics"] if metric["type"] == "Pods"}
    assert names
    assert names <= first_cells(section(OPERATIONS, "## Metrics"))
    assert spec["minReplicas"] >= 2
    # The pods that a scale-down ends have drained before the next one begins.
    (policy,) = spec["behavior"]["scaleDown"]["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)
