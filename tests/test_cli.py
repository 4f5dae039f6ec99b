"""The command line, as a person at a terminal uses it."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import redis

from presence_server import cli
from presence_server.settings import VARIABLES
from presence_server.store.embedded import EmbeddedValkey
from tests.support.tokens import SECRET
from tests.support.worker import ROOT, Worker, environment


def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with these settings and no others."""
    command = [sys.executable, "-m", "presence_server", *arguments]
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False, timeout=60)


def get(port: int, path: str, token: str = "", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers | ({"Authorization": f"Bearer {token}"} if token else {}))
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A server with an embedded Valkey, not yet started."""
    settings = {"jwt_secret": SECRET, "data_dir": tmp_path / "data", "drain_timeout": 0.1}
    server = Worker("worker", tmp_path, settings)
    yield server
    server.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A server with an embedded Valkey that others get in the way of."""
    directory = tmp_path_factory.mktemp("standing")
    server = Worker("standing", directory, {"jwt_secret": SECRET, "data_dir": directory / "data", "drain_timeout": 0})
    server.start()
    yield server
    server.close()


def test_the_version_is_the_packages() -> None:
    done = run("--version")
    assert done.stdout == f"presence-server {importlib.metadata.version('presence-server')}\n"
    assert done.returncode == 0


def test_without_a_command_it_says_which_there_are() -> None:
    done = run()
    assert done.returncode == 2
    done = run("--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("serve", "demo", "token", "check"))


@pytest.mark.parametrize("command", ["serve", "demo", "check"])
def test_help_lists_every_flag_with_its_variable(command: str) -> None:
    told = " ".join(run(command, "--help").stdout.split())
    for variable in VARIABLES:
        if variable.flag:
            assert variable.flag in told
            assert variable.name in told


def test_serve_refuses_to_start_without_a_key_and_says_how_to_make_one() -> None:
    done = run("serve")
    assert done.returncode == 2
    assert done.stdout == ""
    assert all(part in done.stderr for part in ("PRESENCE_JWT_SECRET", "PRESENCE_JWKS_URL", "python3 -c"))


def test_all_wrong_settings_are_told_at_once_one_a_line() -> None:
    done = run("serve", "--log-format", "xml", port="http", idle_timeout="soon", jwt_secret=SECRET)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0] == "presence-server: 3 settings are wrong"
    assert [line.split(":")[0] for line in lines[1:]] == [
        "  PRESENCE_PORT",
        "  PRESENCE_IDLE_TIMEOUT",
        "  --log-format",
    ]


def test_the_way_to_make_a_secret_makes_one() -> None:
    told = run("serve").stderr
    match = re.search(r"export PRESENCE_JWT_SECRET=(\"\$\(python3 .*?\)\")", told)
    assert match
    made = subprocess.run(["sh", "-c", f"printf %s {match[1]}"], capture_output=True, text=True, check=True).stdout
    assert run("token", "--user", "maria", "--team", "acme", jwt_secret=made).returncode == 0


def test_token_prints_a_token_and_nothing_else() -> None:
    options = ["--user", "maria", "--team", "acme", "--team", "globex", "--sid", "s1", "--ttl", "60"]
    done = run("token", *options, jwt_secret=SECRET)
    assert done.returncode == 0
    claims = jwt.decode(done.stdout.removesuffix("\n"), SECRET, ["HS256"])
    assert claims == {
        "sub": "maria",
        "teams": ["acme", "globex"],
        "sid": "s1",
        "iat": claims["iat"],
        "exp": claims["iat"] + 60,
    }


def test_token_of_an_administrator_of_all_teams() -> None:
    done = run("token", "--user", "root", "--team", "*", "--admin", jwt_secret=SECRET)
    claims = jwt.decode(done.stdout.strip(), SECRET, ["HS256"])
    assert claims["scope"] == "presence:admin"
    assert claims["teams"] == ["*"]
    assert claims["exp"] == claims["iat"] + 3600


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--user", "ma ria", "--team", "acme"], "Expected ids"),
        (["--user", "maria", "--team", ""], "Expected 'teams'"),
        (["--user", "maria"], "--team"),
        (["--user", "maria", "--team", "acme", "--ttl", "0"], "above 0"),
        (["--user", "maria", "--team", "acme", "--ttl", "soon"], "--ttl"),
    ],
)
def test_token_refuses_what_the_server_would(arguments: list[str], told: str) -> None:
    done = run("token", *arguments, jwt_secret=SECRET)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr


def test_token_warns_where_a_server_with_these_settings_would_refuse_it() -> None:
    done = run("token", "--user", "maria", "--team", "acme", jwt_secret=SECRET, jwt_audience="presence")
    assert done.returncode == 0
    assert "PRESENCE_JWT_AUDIENCE" in done.stderr
    assert jwt.decode(done.stdout.strip(), SECRET, ["HS256"])["sub"] == "maria"


def test_token_needs_a_secret() -> None:
    arguments = ["token", "--user", "maria", "--team", "acme"]
    assert "PRESENCE_JWKS_URL: Expected one" in run(*arguments).stderr
    done = run(*arguments, jwks_url="https://issuer.example/keys")
    assert done.returncode == 2
    assert "only its issuer can" in done.stderr


def test_check_says_well_line_by_line(tmp_path: Path) -> None:
    done = run("check", "--data-dir", str(tmp_path), jwt_secret=SECRET)
    assert done.returncode == 0
    assert done.stderr == ""
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}


def test_check_fails_where_redis_is_out_of_reach(tmp_path: Path) -> None:
    done = run("check", jwt_secret=SECRET, redis_url=f"unix://{tmp_path}/nobody")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith(f"failed  Redis at {tmp_path}/nobody: Expected Redis to answer")


def test_check_fails_where_serve_would_not_start() -> None:
    done = run("check")
    assert done.returncode == 1
    assert "PRESENCE_JWT_SECRET" in done.stdout


def test_serve_serves_with_an_embedded_valkey_until_sigterm(worker: Worker) -> None:
    worker.start()
    assert get(worker.port, "/healthz")[0] == 200
    worker.terminate()
    assert worker.wait_sync() == 0
    assert f"Listening on {worker.http_url}" in worker.log()
    assert worker.log().splitlines()[-1].endswith("Ended")


def test_serve_logs_json_when_asked_to(worker: Worker) -> None:
    worker.environment["PRESENCE_LOG_FORMAT"] = "json"
    worker.environment["PRESENCE_PROT"] = "80"
    worker.start()
    worker.interrupt()
    assert worker.wait_sync() == 0
    messages = [json.loads(line)["message"] for line in worker.log().splitlines()]
    assert "PRESENCE_PROT: No such setting; did you mean PRESENCE_PORT?" in messages
    assert f"Listening on {worker.http_url}" in messages


def test_a_second_server_on_the_folder_refuses_to_start(standing: Worker) -> None:
    folder = standing.environment["PRESENCE_DATA_DIR"]
    done = run("serve", jwt_secret=SECRET, data_dir=folder, port=0)
    assert done.returncode == 1
    assert folder in done.stderr
    assert "PRESENCE_REDIS_URL" in done.stderr
    assert get(standing.port, "/readyz")[0] == 200


def test_a_port_in_use_is_told_in_one_line(standing: Worker, tmp_path: Path) -> None:
    done = run("serve", jwt_secret=SECRET, data_dir=tmp_path / "other", port=standing.port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"presence-server: Expected port {standing.port} of 127.0.0.1 to be free")
    assert not (tmp_path / "other").exists()


def test_demo_keeps_apart_from_a_server_with_the_same_settings(worker: Worker, tmp_path: Path) -> None:
    """The real secret signs nobody in, and what the demo does to its team reaches no other server's."""
    with EmbeddedValkey(tmp_path / "shared") as valkey:
        worker.command[-1] = "demo"
        worker.environment["PRESENCE_REDIS_URL"] = valkey.url
        worker.start()
        token = run("token", "--user", "maria", "--team", "acme", "--admin", jwt_secret=SECRET).stdout.strip()
        assert get(worker.port, "/v1/teams/acme/presence", token)[0] == 401
        assert get(worker.port, "/demo/config", Host="evil.example")[0] == 421
        with redis.Redis.from_url(valkey.url) as client:
            keys = [key.decode() for key in client.scan_iter()]
        assert keys
        assert all(key.startswith("presence-demo") for key in keys), keys
        worker.interrupt()
        assert worker.wait_sync() == 0


def test_demo_has_a_data_folder_of_its_own(worker: Worker, tmp_path: Path) -> None:
    worker.command[-1] = "demo"
    worker.start()
    assert {entry.name for entry in (tmp_path / "data").iterdir()} == {"demo"}
    worker.interrupt()
    assert worker.wait_sync() == 0


def test_demo_needs_no_settings_and_says_where_to_look(worker: Worker) -> None:
    worker.command[-1] = "demo"
    del worker.environment["PRESENCE_JWT_SECRET"]
    worker.start()
    status, page = get(worker.port, "/")
    assert status == 200
    assert "<html" in page
    assert f"open {worker.http_url}/" in worker.log()
    worker.interrupt()
    assert worker.wait_sync() == 0


def test_an_interrupt_before_the_server_runs_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load", interrupt)
    assert cli.main(["serve"]) == 130
    assert capsys.readouterr().err == ""


def test_the_console_script_is_the_same_command() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="presence-server")
    assert script.load() is cli.main
    assert (ROOT / "presence_server" / "cli.py").samefile(cli.__file__)


def test_serve_refuses_options_that_the_client_of_redis_has_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESENCE_JWT_SECRET", SECRET)
    assert cli.main(["serve", "--redis-url", "redis://:hunter2@localhost?foo=1"]) == 2
    told = capsys.readouterr().err
    assert "PRESENCE_REDIS_URL: Expected options that the client of Redis has" in told
    assert "which every account of this machine can see" in told
    assert "hunter2" not in told
