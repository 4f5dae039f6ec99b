"""A TCP relay in front of Valkey that plays the network: a pulled cable, a cut line, a subscription gone deaf."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

from tests.support.ports import free_port
from tests.support.valkey import ACCOUNT, PASSWORD


class RedisProxy:
    """Relays one TCP port to a Valkey, in threads of its own so that a busy test cannot hold it up.

    Args:
        target_port: the Valkey's TCP port.
    """

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._up, self._down = threading.Event(), threading.Event()
        self._delay_s = 0.0
        self._refusing = False
        self._losing = False
        self._swallowing = False
        self._deaf: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._subscribed: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.mend()
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self._run(self._accept)

    @property
    def url(self) -> str:
        return f"redis://{ACCOUNT}:{PASSWORD}@127.0.0.1:{self.port}/0"

    def pull_cable(self) -> None:
        """From now on no byte gets through, and nobody is told so; `mend` delivers them, as TCP would."""
        self._up.clear()
        self._down.clear()

    def block_requests(self) -> None:
        """From now on nothing that is sent to Valkey gets through; what it sends does. `mend` delivers it."""
        self._up.clear()

    def block_replies(self) -> None:
        """From now on nothing that Valkey sends gets through; what it is sent does. `mend` delivers it."""
        self._down.clear()

    def delay(self, seconds: float) -> None:
        """From now on whatever comes together is passed on so much later, either way."""
        self._delay_s = seconds

    def cut(self) -> None:
        """Reset every connection and refuse new ones until `mend`."""
        self._refusing = True
        self._hang_up(self._open)

    def lose_publications(self) -> None:
        """From now on what is published never arrives, without any error: pongs and replies still do."""
        self._losing = True

    def swallow_a_reply(self) -> None:
        """The next reply is lost with its connection: what was asked for has been done, and nobody knows."""
        self._swallowing = True

    def deafen_subscriptions(self) -> None:
        """The connections that have subscribed receive nothing any more, for good; new ones work."""
        self._deaf |= self._subscribed

    def hang_up_subscriptions(self) -> None:
        """Reset the connections that have subscribed."""
        self._hang_up(self._subscribed)

    def mend(self) -> None:
        """All is well again; what was lost stays lost."""
        self._refusing = self._losing = False
        self._delay_s = 0.0
        self._up.set()
        self._down.set()

    def close(self) -> None:
        self.mend()
        self._refusing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._hang_up(self._open)
        for thread in self._threads:
            thread.join(5)

    def _run(self, target: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._refusing:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                client.close()
                continue
            self._open |= {client, server}
            self._run(self._pump_up, client, server)
            self._run(self._pump_down, server, client)

    def _pump_up(self, client: socket.socket, server: socket.socket) -> None:
        for data in self._received(client):
            if b"SUBSCRIBE" in data.upper():
                self._subscribed.add(client)
            self._wait(self._up)
            if not _sent(server, data):
                break
        self._finish(client, server)

    def _pump_down(self, server: socket.socket, client: socket.socket) -> None:
        for data in self._received(server):
            self._wait(self._down)
            # Publications are small and travel alone or with each other: a chunk with one holds nothing else.
            if self._swallowing:
                self._swallowing = False
                break
            if client in self._deaf or (self._losing and b"message" in data):
                continue
            if not _sent(client, data):
                break
        self._finish(client, server)

    def _wait(self, flowing: threading.Event) -> None:
        if self._delay_s:
            time.sleep(self._delay_s)
        flowing.wait()

    def _received(self, source: socket.socket) -> Iterator[bytes]:
        while True:
            try:
                data = source.recv(65_536)
            except OSError:
                return
            if not data:
                return
            yield data

    def _finish(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            self._open.discard(each)
            self._subscribed.discard(each)

    def _hang_up(self, sockets: set[socket.socket]) -> None:
        for each in list(sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _sent(destination: socket.socket, data: bytes) -> bool:
    try:
        destination.sendall(data)
    except OSError:
        return False
    return True
