"""The systemd unit: valid, locked down, and patient enough for a drain."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from presence_server.settings import load
from tests.support.balancer import find
from tests.support.worker import ROOT

UNIT = ROOT / "deploy" / "presence-server.service"
# What systemd-analyze calls the exposure: from 0, shut off from everything, to 10. A server on the network has some.
MOST_EXPOSED = 1.5


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that exists in the place of the one that is to be installed."""
    found = tmp_path / UNIT.name
    found.write_text(UNIT.read_text().replace("/opt/presence-server/bin/presence-server", "/bin/true"))
    return found


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, which needs no systemd that runs."""
    command = [find("systemd-analyze", "systemd"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_unit_is_valid(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_is_locked_down(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={MOST_EXPOSED * 10:.0f}", unit)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_waits_longer_than_a_drain_and_ends_the_server_alone() -> None:
    given = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    assert int(given["TimeoutStopSec"]) > load({}, {}).drain_timeout_s
    assert given["KillMode"] == "mixed"
    assert given["ExecStart"].endswith("presence-server serve")


def test_it_listens_to_the_server_and_restarts_one_that_was_asked_to_reload() -> None:
    given = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    assert (given["Type"], given["ExecReload"]) == ("notify", "/bin/kill -HUP $MAINPID")
    # It speaks up once a second; a server of one process takes SIGHUP for SIGTERM, and ends with status 0.
    assert int(given["WatchdogSec"]) >= 10
    assert given["Restart"] == "always"
