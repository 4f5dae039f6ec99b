"""Settings: the table of the contract, where values come from, and what is told when they are wrong."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from presence_server.errors import SettingsError
from presence_server.settings import VARIABLES, Settings, advice, default_data_dir, load, markdown_table

HOME = {"HOME": "/home/maria"}
SECRET = "0123456789abcdef0123456789abcdef"

# Section 3 of the contract.
DEFAULTS: dict[str, object] = {
    "host": "127.0.0.1",
    "port": 8000,
    "metrics_port": None,
    "redis_url": None,
    "jwt_secret": None,
    "jwks_url": None,
    "jwt_audience": None,
    "jwt_issuer": None,
    "allowed_origins": (),
    "trusted_proxies": (),
    "idle_timeout_ms": 600_000,
    "disconnect_grace_ms": 20_000,
    "lease_ttl_ms": 30_000,
    "heartbeat_interval_ms": 25_000,
    "handshake_timeout_s": 10.0,
    "keep_alive_s": 75.0,
    "ping_interval_s": 20.0,
    "ping_timeout_s": 20.0,
    "coalesce_s": 0.1,
    "remember_ms": 2_592_000_000,
    "max_connections_per_user": 20,
    "drain_timeout_s": 15.0,
    "key_prefix": "presence",
    "workers": 1,
    "log_level": "info",
    "log_format": "text",
}


def faults(environ: dict[str, str], **overrides: str | None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refusal:
        load(HOME | environ, overrides)
    assert str(refusal.value) == "\n".join(refusal.value.faults)
    return refusal.value.faults


def test_defaults_are_those_of_the_contract() -> None:
    settings = load(HOME, {})
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert {field.name for field in fields(Settings)} == {*DEFAULTS, "data_dir"}


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("PORT", "0", "port", 0),
        ("REDIS_URL", "rediss://:secret@redis.example:6380/1", "redis_url", "rediss://:secret@redis.example:6380/1"),
        ("DATA_DIR", "/var/lib/presence", "data_dir", Path("/var/lib/presence")),
        ("JWT_SECRET", SECRET, "jwt_secret", SECRET),
        ("JWKS_URL", "https://issuer.example/keys", "jwks_url", "https://issuer.example/keys"),
        ("JWT_AUDIENCE", "presence", "jwt_audience", "presence"),
        ("JWT_ISSUER", "https://issuer.example/", "jwt_issuer", "https://issuer.example/"),
        ("ALLOWED_ORIGINS", "https://a.example,*", "allowed_origins", ("https://a.example", "*")),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1", "trusted_proxies", ("10.0.0.0/8", "::1")),
        ("IDLE_TIMEOUT", "0.25", "idle_timeout_ms", 250),
        ("DISCONNECT_GRACE", "0", "disconnect_grace_ms", 0),
        ("LEASE_TTL", "60", "lease_ttl_ms", 60_000),
        ("HEARTBEAT_INTERVAL", "1.5", "heartbeat_interval_ms", 1_500),
        ("PING_INTERVAL", "0.5", "ping_interval_s", 0.5),
        ("PING_TIMEOUT", "7", "ping_timeout_s", 7.0),
        ("COALESCE", "0", "coalesce_s", 0.0),
        ("REMEMBER", "60", "remember_ms", 60_000),
        ("MAX_CONNECTIONS_PER_USER", "3", "max_connections_per_user", 3),
        ("DRAIN_TIMEOUT", "0", "drain_timeout_s", 0.0),
        ("KEY_PREFIX", "app:presence", "key_prefix", "app:presence"),
        ("WORKERS", "4", "workers", 4),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("LOG_FORMAT", "json", "log_format", "json"),
    ],
)
def test_every_setting_is_an_environment_variable(variable: str, text: str, field: str, value: Any) -> None:
    settings = load(HOME | {f"PRESENCE_{variable}": text}, {})
    assert getattr(settings, field) == value


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load(HOME | {variable.name: "" for variable in VARIABLES}, {}) == load(HOME, {})


def test_flags_win() -> None:
    settings = load(HOME | {"PRESENCE_PORT": "9000", "PRESENCE_HOST": "::1"}, {"port": "9001", "host": None})
    assert (settings.host, settings.port) == ("::1", 9001)


def test_a_fault_names_where_the_text_came_from() -> None:
    assert faults({"PRESENCE_PORT": "http"}) == ("PRESENCE_PORT: Expected a port from 0 to 65535, got 'http'",)
    assert faults({"PRESENCE_PORT": "1"}, port="") == ("--port: Expected a port from 0 to 65535, got ''",)


def test_all_faults_are_told_at_once() -> None:
    told = faults({"PRESENCE_PORT": "-1", "PRESENCE_COALESCE": "soon", "PRESENCE_DISCONNECT_GRACE": "25"})
    assert [fault.partition(":")[0] for fault in told] == ["PRESENCE_PORT", "PRESENCE_COALESCE", "PRESENCE_LEASE_TTL"]


def test_two_thirds_of_the_lease_must_not_be_shorter_than_the_grace() -> None:
    assert load(HOME | {"PRESENCE_LEASE_TTL": "3", "PRESENCE_DISCONNECT_GRACE": "2"}, {}).lease_ttl_ms == 3_000
    (fault,) = faults({"PRESENCE_LEASE_TTL": "2.999", "PRESENCE_DISCONNECT_GRACE": "2"})
    assert "PRESENCE_DISCONNECT_GRACE" in fault
    assert "got 2.999 and 2" in fault
    assert "at least 3" in fault


def test_of_a_lease_that_cannot_be_read_nothing_more_is_said() -> None:
    assert faults({"PRESENCE_LEASE_TTL": "long", "PRESENCE_DISCONNECT_GRACE": "25"}) == (
        "PRESENCE_LEASE_TTL: Expected a number of seconds above 0, got 'long'",
    )


def test_a_required_key_is_asked_for_with_both_variables_and_the_way_to_one() -> None:
    with pytest.raises(SettingsError) as refusal:
        load(HOME, {}, key_required=True)
    (fault,) = refusal.value.faults
    assert "PRESENCE_JWT_SECRET" in fault
    assert "PRESENCE_JWKS_URL" in fault
    assert "python3 -c" in fault


@pytest.mark.parametrize(
    "environ", [{"PRESENCE_JWT_SECRET": SECRET}, {"PRESENCE_JWKS_URL": "https://issuer.example/keys"}]
)
def test_either_key_will_do(environ: dict[str, str]) -> None:
    settings = load(HOME | environ, {}, key_required=True)
    assert settings.jwt_secret or settings.jwks_url


def test_a_key_that_cannot_be_used_is_not_called_missing_too() -> None:
    with pytest.raises(SettingsError) as refusal:
        load(HOME | {"PRESENCE_JWKS_URL": "ftp://keys"}, {}, key_required=True)
    (fault,) = refusal.value.faults
    assert fault.startswith("PRESENCE_JWKS_URL: Expected")


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {}, "/home/maria/.local/share/presence-server"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/presence-server"),
        ("linux", {"XDG_DATA_HOME": "data"}, "/home/maria/.local/share/presence-server"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, "/home/maria/Library/Application Support/presence-server"),
    ],
)
def test_the_data_folder_is_the_platforms(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], folder: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert default_data_dir(HOME | environ) == Path(folder)


def test_an_account_without_a_home_must_name_a_folder_unless_it_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(SettingsError, match="PRESENCE_DATA_DIR: Expected an absolute path"):
        load({}, {})
    assert load({"PRESENCE_REDIS_URL": "redis://localhost"}, {}).redis_url == "redis://localhost"
    assert load({"PRESENCE_DATA_DIR": "/data"}, {}).data_dir == Path("/data")


def test_an_unknown_variable_is_told_with_the_nearest_known_one() -> None:
    environ = {"PRESENCE_IDLE_TIMEOUTS": "1", "PRESENCE_XYZZY": "1", "OTHER": "1", "PRESENCE_PORT": "1"}
    assert advice(environ, Settings()) == [
        "PRESENCE_IDLE_TIMEOUTS: No such setting; did you mean PRESENCE_IDLE_TIMEOUT?",
        "PRESENCE_XYZZY: No such setting",
    ]


@pytest.mark.parametrize(("secret", "told"), [("s" * 31, 1), ("ß" * 16, 0), ("s" * 32, 0)])
def test_a_secret_shorter_than_the_hash_is_told(secret: str, told: int) -> None:
    assert [sentence.startswith("PRESENCE_JWT_SECRET: ") for sentence in advice({}, Settings(jwt_secret=secret))] == (
        [True] * told
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [("http://issuer.example/keys", 1), ("http://localhost:9000/keys", 0), ("https://issuer.example/keys", 0)],
)
def test_a_key_set_that_crosses_the_network_unprotected_is_told(url: str, told: int) -> None:
    assert [sentence.startswith("PRESENCE_JWKS_URL: ") for sentence in advice({}, Settings(jwks_url=url))] == (
        [True] * told
    )


def test_no_fault_shows_a_secret() -> None:
    told = faults(
        {"PRESENCE_JWT_SECRET": "hunter2", "PRESENCE_REDIS_URL": "redis+cluster://:hunter2@host/1"},
    )
    assert len(told) == 1
    assert "hunter2" not in str(told)


def test_the_table_for_the_documentation_has_every_variable_and_its_default() -> None:
    rows = re.findall(r"^\| `(PRESENCE_\w+)` \| (.*?) \| (.*?) \| .+\. \|$", markdown_table(), re.MULTILINE)
    assert [(row[0], row[2]) for row in rows] == [(variable.name, variable.default) for variable in VARIABLES]
    assert ("PRESENCE_PORT", "`--port`", "`8000`") in rows


def test_what_the_documentation_shows_as_default_is_read_as_the_default() -> None:
    for variable in VARIABLES:
        if variable.default.startswith("`"):
            shown = variable.default.strip("`")
            assert load(HOME | {variable.name: shown}, {}) == load(HOME, {}), variable.name


def test_metrics_need_another_port() -> None:
    (fault,) = faults({"PRESENCE_PORT": "8000", "PRESENCE_METRICS_PORT": "8000"})
    assert fault == "PRESENCE_METRICS_PORT: Expected another port than PRESENCE_PORT, got 8000 for both"
