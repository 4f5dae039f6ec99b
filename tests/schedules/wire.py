"""The network between one worker and Valkey, carried by hand: what is sent gets through, or not, or later, or unheard.

Nothing here waits for time to pass. Whoever drives a worker calls `carry` until nothing moves any more; what Valkey has
published by then has arrived.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import hiredis

Fate = Literal["cut", "halve", "lose", "straggle", "hold"]
"""What becomes of a request: the connection breaks before it gets through; when what stood before the operation got
through; after it was carried out, before the answer; before, and it gets through later; it is on its way until
`release`."""

_SIZE: Final = 1 << 20


class Command(NamedTuple):
    """One command, as it was sent.

    Attributes:
        operation: the script's name, or else the command's, in lower case.
        key: its first key.
        arguments: all that follows the script's key, or the command's name.
        data: as it was sent.
    """

    operation: str
    key: str
    arguments: Sequence[bytes]
    data: bytes


class Request(NamedTuple):
    """What was sent at once over one connection."""

    data: bytes
    commands: Sequence[Command]


class _Pair:
    """One connection of the worker, and the one to Valkey that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.requests = hiredis.Reader()
        self.replies = hiredis.Reader()
        self.subscribed = False
        self.held: Request | None = None

    def close(self) -> None:
        self.client.close()
        self.server.close()


class Wire:
    """One worker's network.

    Args:
        path: of the unix socket that the worker connects to.
        target: Valkey's unix socket.
        names: of scripts, by their SHA-1.
        before: is told of what is about to be carried out.
        after: is told of what was carried out, and of the replies to it.
        sync: returns when Valkey has written all it has to.

    Attributes:
        down: nothing gets through, and connections are refused.
        deaf: what is published is lost, and nobody notices.
        late: what got lost on the way, and may still come through.
    """

    def __init__(
        self,
        path: Path,
        target: Path,
        names: Mapping[str, str],
        *,
        before: Callable[[Request], None],
        after: Callable[[Request, Sequence[Any]], None],
        sync: Callable[[], None],
    ) -> None:
        self.path = path
        self.down = False
        self.deaf = False
        self.late: list[Request] = []
        self._target = target
        self._names = names
        self._before = before
        self._after = after
        self._sync = sync
        self._fates: list[tuple[Fate, str]] = []
        self._pairs: list[_Pair] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._listener.setblocking(False)

    # --- what may go wrong --------------------------------------------------------------------------------------------

    def doom(self, fate: Fate, operation: str) -> None:
        """What is to become of the next request with an operation in it."""
        self._fates.append((fate, operation))

    def forgive(self) -> None:
        """Nothing goes wrong any more of what was to."""
        self._fates.clear()

    def cut(self) -> None:
        """Every connection breaks; new ones may be made."""
        for pair in [*self._pairs]:
            self._hang_up(pair)

    def cut_subscription(self) -> None:
        """The subscription breaks, and the worker notices."""
        for pair in [pair for pair in self._pairs if pair.subscribed]:
            self._hang_up(pair)

    def release(self) -> None:
        """What was on its way arrives."""
        for pair in [*self._pairs]:
            held, pair.held = pair.held, None
            if held is not None:
                self._forward(pair, held)

    def arrive_late(self) -> None:
        """The first of what got lost on the way gets through after all."""
        request = self.late.pop(0)
        pair = _Pair(socket.socket(socket.AF_UNIX), self._connect())
        self._carry_out(pair, request)
        pair.close()

    def close(self) -> None:
        """The worker is gone."""
        self.down = True
        self.cut()
        self._listener.close()

    # --- what goes through --------------------------------------------------------------------------------------------

    def carry(self) -> bool:
        """Carry what was sent, and what came back; tells whether there was any."""
        moved = self._accept()
        for pair in [*self._pairs]:
            request = self._receive(pair)
            if request is not None:
                moved = True
                if request.commands:
                    self._decide(pair, request)
        for pair in [*self._pairs]:
            moved |= self._publish(pair)
        return moved

    def _accept(self) -> bool:
        accepted = False
        # Of a worker that is gone nothing is accepted any more.
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                accepted = True
                if self.down:
                    client.close()
                    continue
                client.setblocking(False)
                self._pairs.append(_Pair(client, self._connect()))
        return accepted

    def _connect(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.settimeout(10)
        server.connect(str(self._target))
        return server

    def _hang_up(self, pair: _Pair) -> None:
        if pair in self._pairs:
            self._pairs.remove(pair)
            pair.close()

    def _receive(self, pair: _Pair) -> Request | None:
        try:
            data = pair.client.recv(_SIZE)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self._hang_up(pair)
            return Request(b"", ())
        pair.requests.feed(data)
        commands = []
        while (parts := pair.requests.gets()) is not False:
            commands.append(self._command(parts))
        return Request(data, commands)

    def _command(self, parts: Sequence[bytes]) -> Command:
        name, arguments = parts[0].decode().lower(), parts[1:]
        data = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        if name == "evalsha":
            return Command(self._names[parts[1].decode()], parts[3].decode(), parts[4:], data)
        return Command(name, parts[1].decode() if len(parts) > 1 else "", arguments, data)

    def _decide(self, pair: _Pair, request: Request) -> None:
        operations = {command.operation for command in request.commands}
        fate = next((fate for fate in self._fates if fate[1] in operations), None)
        if fate is None:
            self._forward(pair, request)
            return
        self._fates.remove(fate)
        if fate[0] == "hold":
            pair.held = request
            return
        if fate[0] == "halve":
            at = next(i for i, command in enumerate(request.commands) if command.operation == fate[1])
            self._carry_out(pair, Request(b"".join(c.data for c in request.commands[:at]), request.commands[:at]))
        elif fate[0] == "lose":
            self._carry_out(pair, request)
        elif fate[0] == "straggle":
            self.late.append(request)
        self._hang_up(pair)

    def _forward(self, pair: _Pair, request: Request) -> None:
        if any(command.operation in ("subscribe", "unsubscribe") for command in request.commands):
            pair.subscribed = True
            pair.server.setblocking(False)
            pair.server.sendall(request.data)
            self._sync()
            return
        answer = self._carry_out(pair, request)
        with contextlib.suppress(OSError):
            pair.client.sendall(answer)

    def _carry_out(self, pair: _Pair, request: Request) -> bytes:
        self._before(request)
        pair.server.sendall(request.data)
        data = b""
        replies: list[Any] = []
        while len(replies) < len(request.commands):
            part = pair.server.recv(_SIZE)
            data += part
            pair.replies.feed(part)
            while (reply := pair.replies.gets()) is not False:
                replies.append(reply)
        # What it published lies in the sockets of those who hear it by now.
        self._sync()
        self._after(request, replies)
        return data

    def _publish(self, pair: _Pair) -> bool:
        """Pass on what was published, and that channels are subscribed to."""
        if not pair.subscribed or pair not in self._pairs:
            return False
        try:
            data = pair.server.recv(_SIZE)
        except BlockingIOError:
            return False
        if not self.deaf:
            with contextlib.suppress(OSError):
                pair.client.sendall(data)
        return True
