"""The files of the embedded Valkey: nobody else's to read, to write, or to lead elsewhere; and no secret beside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from presence_server.errors import StartupError
from presence_server.store.embedded import EmbeddedValkey


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StartupError, match=f"got mode {mode:04o}. Run: chmod 700 {folder}"):
        EmbeddedValkey(folder).start()


def test_a_folder_of_another_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StartupError, match=r"to (be|belong to) this account.* PRESENCE_DATA_DIR"):
        EmbeddedValkey(tmp_path).start()


@pytest.mark.parametrize("name", ["server.lock", "valkey.lock", "valkey.log"])
def test_planted_links_are_not_followed(tmp_path: Path, name: str) -> None:
    folder, precious = tmp_path / "data", tmp_path / "precious"
    folder.mkdir(mode=0o700)
    precious.write_text("keep me")
    (folder / name).symlink_to(precious)
    with pytest.raises(StartupError, match="Expected to run Valkey"):
        EmbeddedValkey(folder).start()
    assert precious.read_text() == "keep me"


def test_nobody_else_can_read_what_is_kept(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        with EmbeddedValkey(tmp_path / "data") as valkey:
            files = [path for path in valkey.data_dir.rglob("*") if path.is_file()]
            assert {path.name for path in files} >= {"valkey.log", "server.lock"}
            assert [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    finally:
        os.umask(before)


def test_secrets_are_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_JWT_SECRET", "hunter2-hunter2-hunter2-hunter2-hunter2")
    with EmbeddedValkey(tmp_path / "data") as valkey:
        assert valkey._keeper is not None
        environments = [
            (each / "environ").read_bytes()
            for each in Path("/proc").glob("[0-9]*")
            if _session_of(each) == valkey._keeper.pid
        ]
    assert len(environments) >= 2
    assert not any(b"hunter2" in environment for environment in environments)


def _session_of(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])
    except OSError:
        return 0
