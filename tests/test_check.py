"""What `presence-server check` finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from presence_server import check
from presence_server.check import Finding, examine
from presence_server.errors import SettingsError
from presence_server.settings import Settings
from presence_server.store.embedded import EmbeddedValkey
from presence_server.store.probe import Instance

SECRET = "0123456789abcdef0123456789abcdef"
GOOD = Instance("Valkey", "9.1.2", (7, 2), ahead_ms=3, uncertainty_ms=1, evicts=False, persists=True)


def examined(settings: Settings, environ: dict[str, str] | None = None) -> list[Finding]:
    return list(examine(environ or {}, lambda: settings))


def report_on(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """The findings about a Redis like this, of which there is none at hand."""

    async def probe(url: str) -> Instance:
        assert url == "redis://there"
        return instance

    monkeypatch.setattr(check, "probe", probe)
    return [finding for finding in examined(Settings(redis_url="redis://there")) if finding.severity != "ok"]


def test_the_embedded_valkey_is_tried(tmp_path: Path) -> None:
    findings = examined(Settings(data_dir=tmp_path, jwt_secret=SECRET))
    assert {finding.severity for finding in findings} == {"ok"}
    told = "\n".join(finding.text for finding in findings)
    assert str(tmp_path) in told
    assert "version: Valkey 9." in told
    assert "clock: Redis is 0." in told


def test_a_redis_of_ones_own_is_asked(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        findings = examined(Settings(redis_url=valkey.url, jwt_secret=SECRET))
    assert [finding.severity for finding in findings] == ["ok"] * 4


def test_a_redis_out_of_reach_fails(tmp_path: Path) -> None:
    findings = examined(Settings(redis_url=f"unix://{tmp_path}/nobody"))
    assert findings[-1].severity == "failed"
    assert findings[-1].text.startswith("Expected Redis to answer")


def test_a_folder_in_use_fails(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path):
        findings = examined(Settings(data_dir=tmp_path))
    assert findings[-1].severity == "failed"
    assert "PRESENCE_REDIS_URL" in findings[-1].text


def test_every_fault_of_the_settings_fails() -> None:
    def load() -> Settings:
        raise SettingsError(["PRESENCE_PORT: Expected", "PRESENCE_HOST: Expected"])

    assert list(examine({}, load)) == [
        Finding("failed", "PRESENCE_PORT: Expected"),
        Finding("failed", "PRESENCE_HOST: Expected"),
    ]


def test_what_was_probably_not_meant_is_a_warning(tmp_path: Path) -> None:
    first, *_ = examined(Settings(redis_url=f"unix://{tmp_path}/nobody"), {"PRESENCE_PROT": "80"})
    assert first.severity == "warning"
    assert "PRESENCE_PORT" in first.text


@pytest.mark.parametrize(
    ("instance", "severity", "told"),
    [
        (
            replace(GOOD, compatible=(6, 0), product="Redis", version="6.0.16"),
            "failed",
            "6.2 or newer, got Redis 6.0.16",
        ),
        (replace(GOOD, ahead_ms=1_002), "warning", "1.002 s ahead of this machine"),
        (replace(GOOD, ahead_ms=-1_002), "warning", "1.002 s behind this machine"),
        (replace(GOOD, ahead_ms=-60_002), "failed", "tokens are judged wrongly"),
        (replace(GOOD, evicts=True), "warning", "noeviction"),
        (replace(GOOD, persists=False), "warning", "appendonly yes"),
    ],
)
def test_what_is_odd_about_a_redis_is_told(
    instance: Instance, severity: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finding,) = report_on(instance, monkeypatch)
    assert finding.severity == severity
    assert told in finding.text


@pytest.mark.parametrize("instance", [GOOD, replace(GOOD, ahead_ms=1_001), replace(GOOD, compatible=(6, 2))])
def test_what_is_well_is_not_complained_about(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    assert report_on(instance, monkeypatch) == []


@pytest.mark.parametrize("options", ["foo=hunter2", "socket_timeout=hunter2", "ssl_include_verify_flags=hunter2"])
def test_options_that_the_client_of_redis_has_not_are_told_in_a_sentence(options: str) -> None:
    findings = examined(Settings(redis_url=f"redis://:hunter2@localhost?{options}", jwt_secret=SECRET))
    assert findings[-1].severity == "failed"
    assert findings[-1].text.startswith("PRESENCE_REDIS_URL: Expected options that the client of Redis has, got")
    assert options.split("=")[0] in findings[-1].text
    assert "hunter2" not in findings[-1].text
