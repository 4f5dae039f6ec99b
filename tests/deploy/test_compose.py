"""docker-compose, its image and its balancer keep to what the server has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from presence_server.settings import VARIABLES, load
from tests.support.worker import ROOT

DEPLOY = ROOT / "deploy"
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") or "haproxy"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    composed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return dict(composed["services"])


def test_the_balancers_configuration_is_valid_with_addresses_of_ones_own() -> None:
    addresses = {
        "BALANCER_BIND": "127.0.0.1:18000",
        "BALANCER_WORKER_1": "127.0.0.1:18001",
        "BALANCER_WORKER_2": "127.0.0.1:18002",
    }
    command = [HAPROXY, "-c", "-f", str(DEPLOY / "haproxy.cfg")]
    done = subprocess.run(command, env=os.environ | addresses, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_compose_mounts_the_balancers_configuration_and_names_its_workers(services: dict[str, Any]) -> None:
    (volume,) = services["balancer"]["volumes"]
    assert (ROOT / volume.split(":")[0]).samefile(DEPLOY / "haproxy.cfg")
    named = re.findall(r"presetenv BALANCER_WORKER_\d (\w+):8000", (DEPLOY / "haproxy.cfg").read_text())
    assert named == [name for name in services if name.startswith("worker")]
    (published,) = services["balancer"]["ports"]
    assert f"presetenv BALANCER_BIND :{published.rpartition(':')[2]}\n" in (DEPLOY / "haproxy.cfg").read_text()


def test_compose_gives_the_workers_settings_that_are_valid(services: dict[str, Any]) -> None:
    given = {name: re.sub(r"\$\{.*\}", "", text) for name, text in services["worker1"]["environment"].items()}
    assert given.keys() <= {variable.name for variable in VARIABLES}
    settings = load(given | {"PRESENCE_JWT_SECRET": "0123456789abcdef"}, {}, key_required=True)
    assert settings.redis_url == "redis://valkey:6379/0"
    assert settings.trusted_proxies == ("172.30.171.0/24",)
    assert services["worker2"] == services["worker1"]


def test_compose_waits_longer_than_a_drain(services: dict[str, Any]) -> None:
    grace_s = int(services["worker1"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > load({}, {}).drain_timeout_s


def test_the_image_copies_files_that_exist_and_are_not_ignored() -> None:
    (copied,) = re.findall(r"^COPY (.*) \./$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    let_pass = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for name in (*copied.split(), "presence_server"):
        assert Path(ROOT, name).exists(), name
        assert f"!{name}" in let_pass


def test_compose_gives_nobody_more_than_he_needs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name


def test_images_are_of_an_exact_version(services: dict[str, Any]) -> None:
    used = [service["image"] for service in services.values() if "build" not in service]
    used += re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert len(used) == 4
    assert [image for image in used if not re.search(r":\d+\.\d+\.\d+|@sha256:", image)] == []


def test_the_image_installs_what_the_project_wants_and_nothing_that_was_changed() -> None:
    locked = {}
    for entry in re.split(r"\n(?=[a-z])", (DEPLOY / "requirements.txt").read_text()):
        if found := re.match(r"([a-z0-9-]+)==(\S+)", entry):
            locked[found[1]] = found[2]
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), found[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        wanted = Requirement(text)
        assert locked[wanted.name.lower()] in wanted.specifier, text
