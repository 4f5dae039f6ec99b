"""What `presence-server check` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from presence_server.address import parse
from presence_server.check import Finding, examine, judge
from presence_server.errors import SettingsError
from presence_server.settings import Settings
from presence_server.store.check.instance import Instance
from presence_server.store.embedded import EmbeddedValkey
from tests.support.sentinels import Replicated
from tests.support.valkey import Valkey

SECRET = "0123456789abcdef0123456789abcdef"
GOOD = Instance(
    "Valkey", "9.1.2", (7, 2), "master", (), ahead_ms=3, uncertainty_ms=1, evicts=None, persists=True, guarded=True
)


def examined(settings: Settings, environ: dict[str, str] | None = None) -> list[Finding]:
    return list(examine(environ or {}, lambda: settings))


def faults(url: str) -> list[Finding]:
    """What is not well about a Redis; that it keeps no append-only file counts as well here."""
    findings = examined(Settings(redis_url=url, key_prefix="test-check"))
    return [each for each in findings if each.severity != "ok" and "append-only" not in each.text]


def test_the_embedded_valkey_is_tried(tmp_path: Path) -> None:
    findings = examined(Settings(data_dir=tmp_path, jwt_secret=SECRET))
    assert {finding.severity for finding in findings} == {"ok"}
    told = "\n".join(finding.text for finding in findings)
    assert str(tmp_path) in told
    assert ": Valkey 9." in told
    assert "its clock is 0." in told
    assert "may do all that is needed" in told


def test_a_redis_of_ones_own_is_asked(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as valkey:
        findings = examined(Settings(redis_url=valkey.url, jwt_secret=SECRET))
    assert [finding.severity for finding in findings] == ["ok"] * 4, findings


def test_a_redis_out_of_reach_fails(tmp_path: Path) -> None:
    findings = examined(Settings(redis_url=f"unix://{tmp_path}/nobody"))
    assert findings[-1].severity == "failed"
    assert f"Redis at {tmp_path}/nobody: Expected Redis to answer" in findings[-1].text


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
        (replace(GOOD, evicts="allkeys-lru"), "failed", "maxmemory-policy allkeys-lru throws keys away"),
        (replace(GOOD, persists=False), "warning", "appendonly yes"),
    ],
)
def test_what_is_odd_about_a_redis_is_told(instance: Instance, severity: str, told: str) -> None:
    (finding,) = [each for each in judge(parse("redis://there"), instance) if each.severity != "ok"]
    assert finding.severity == severity
    assert finding.text.startswith("Redis at there:6379: ")
    assert told in finding.text


@pytest.mark.parametrize("instance", [GOOD, replace(GOOD, ahead_ms=1_001), replace(GOOD, compatible=(6, 2))])
def test_what_is_well_is_not_complained_about(instance: Instance) -> None:
    assert {each.severity for each in judge(parse("redis://there"), instance)} == {"ok"}


@pytest.mark.parametrize("options", ["foo=hunter2", "socket_timeout=hunter2", "ssl_include_verify_flags=hunter2"])
def test_options_that_the_client_of_redis_has_not_are_told_in_a_sentence(options: str) -> None:
    findings = examined(Settings(redis_url=f"redis://:hunter2@localhost?{options}", jwt_secret=SECRET))
    assert findings[-1].severity == "failed"
    assert findings[-1].text.startswith("PRESENCE_REDIS_URL: Expected options that the client of Redis has, got")
    assert options.split("=")[0] in findings[-1].text
    assert "hunter2" not in findings[-1].text


def test_a_right_that_is_missing_is_told(new_valkey: Callable[..., Valkey]) -> None:
    valkey = new_valkey()
    assert faults(valkey.url) == []
    for right, told in (("-zadd", "ZADD: "), ("-publish", "PUBLISH: "), ("-subscribe", "SUBSCRIBE: ")):
        valkey.says("ACL SETUSER", "presence", right)
        assert any(f"cannot do {told}" in each.text for each in faults(valkey.url)), right
    valkey.says("ACL SETUSER", "presence", "-evalsha")
    (finding,) = faults(valkey.url)
    assert "cannot do scripts: " in finding.text
    assert valkey.says("KEYS", "*") == [], "nothing is left behind"


def test_what_is_stored_is_compared_with_what_may_be(new_valkey: Callable[..., Valkey]) -> None:
    valkey = new_valkey()
    settings = Settings(redis_url=valkey.url, key_prefix="test-check")

    def last() -> Finding:
        return list(examine({}, lambda: settings, deep=True))[-1]

    assert last() == ("ok", "contents: 0 teams, all as they should be")
    valkey.says("SET", "test-check:{acme}:mark", '["epoch",1,"tip",0,0,-1,0,0,"w1",1,0]')
    *_, ghost, resting = examine({}, lambda: settings, deep=True)
    assert ghost.severity == "failed"
    assert "team acme: 0 held by worker w1, which has no lease" in ghost.text
    assert resting == ("warning", "contents: nobody sweeps 1 of the teams: no worker is running, or none can write")
    valkey.says("ACL SETUSER", "presence", "-scan")
    assert last().severity == "failed"
    assert "contents: Expected Redis to list its keys" in last().text


def test_a_redis_that_cannot_be_written_fails(new_valkey: Callable[..., Valkey]) -> None:
    valkey = new_valkey()
    valkey.says("CONFIG SET", "min-replicas-to-write", 1)
    found = faults(valkey.url)
    assert {each.severity for each in found} == {"failed"}
    assert "NOREPLICAS" in found[0].text


def test_sentinels_master_and_replicas_are_each_told_of() -> None:
    replicated = Replicated(settings=("--min-replicas-to-write", "1"))
    try:
        replicated.start()
        findings = examined(Settings(redis_url=replicated.url, key_prefix="test-check"))
        told = "\n".join(each.text for each in findings)
        assert faults(replicated.url) == [], told
        assert all(f"Sentinel at 127.0.0.1:{each.port}: knows the master" in told for each in replicated.sentinels)
        assert f"Redis at 127.0.0.1:{replicated.valkeys[0].tcp_port}: Valkey" in told
        assert ", master, replicas: 2" in told
        assert all(f"Redis at 127.0.0.1:{each.tcp_port}: Valkey" in told for each in replicated.valkeys[1:])

        first, *others = replicated.valkeys
        others[0].says("ACL SETUSER", "presence", "-info")
        (finding,) = faults(replicated.url)
        assert finding.severity == "warning"
        assert f"Redis at 127.0.0.1:{others[0].tcp_port}: a replica: Expected Redis to answer" in finding.text
        for replica in others:
            replica.kill()
        first.await_sync(lambda: first.says("INFO")["connected_slaves"] == 0)
        alone, refusal, *_ = faults(replicated.url)
        assert "has no replica that could take its place" in alone.text
        assert "NOREPLICAS" in refusal.text
        for replica in others:
            replica.start()
        first.await_sync(lambda: first.says("INFO")["connected_slaves"] == 2)

        first.says("CONFIG SET", "min-replicas-to-write", 0)
        (finding,) = faults(replicated.url)
        assert "loses what it took then; set min-replicas-to-write 1" in finding.text
        first.says("CONFIG SET", "min-replicas-to-write", 1)
        replicated.sentinels[0].kill()
        (finding,) = faults(replicated.url)
        assert finding.severity == "warning"
        assert finding.text.startswith(f"Sentinel at 127.0.0.1:{replicated.sentinels[0].port}: ")
        replicated.sentinels[1].watch(replicated.valkeys[1].tcp_port)
        *_, finding = faults(replicated.url)
        assert finding.severity == "failed"
        assert "got 1 of 3: nobody would take its place" in finding.text
    finally:
        replicated.close()


def test_sentinels_that_nobody_finds_fail() -> None:
    (finding,) = faults("redis+sentinel://127.0.0.1:1/main")
    assert finding.severity == "failed"
    assert finding.text.startswith("Expected a Sentinel that knows 'main', got 127.0.0.1:1: ")


@pytest.fixture
def node() -> Iterator[Valkey]:
    """A cluster of one, that serves no slot yet."""
    server = Valkey(tcp=True)
    try:
        server.command += ["--cluster-enabled", "yes"]
        server.start()
        yield server
    finally:
        server.close()


def test_slots_that_nobody_serves_are_told(node: Valkey) -> None:
    url = f"redis+cluster://127.0.0.1:{node.tcp_port}"
    node.says("CLUSTER ADDSLOTSRANGE", 0, 16_382)
    findings = examined(Settings(redis_url=url))
    assert ("failed", "cluster: Expected every slot to be served, got 1 that are not") in findings
    node.says("CLUSTER ADDSLOTS", 16_383)
    node.await_sync(lambda: node.says("CLUSTER INFO")["cluster_state"] == "ok")
    assert faults(url) == []
    node.kill()
    (finding,) = faults(url)
    assert finding.text.startswith("Expected a node of the cluster to answer, got: ")
