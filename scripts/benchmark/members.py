"""The load generator's sockets: most only wait for their view, a few read and stamp what they get."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport

if TYPE_CHECKING:
    from picows.picows import WSCloseHandshake

# How far into a frame to look for what kind it is: the team's members come last.
_HEAD: Final = 256
_VIEW: Final = re.compile(rb'\{"type": ?"(snapshot|delta)"')
_POSITION: Final = re.compile(rb'"epoch": ?"([^"]*)", ?"version": ?(\d+)')


class Samples:
    """What the sampled sockets have seen.

    Attributes:
        stamps: the newest status that each user asked for, and when, by `time.perf_counter`.
        latencies_ms: from asking to seeing it.
        updates: how many changes of users were seen.
        position: the newest epoch and version of each team.
    """

    def __init__(self) -> None:
        self.position: dict[str, tuple[str, int]] = {}
        self.restart()

    def restart(self) -> None:
        """Forget all but the positions."""
        self.stamps: dict[str, tuple[str, float]] = {}
        self.latencies_ms: list[float] = []
        self.updates = 0

    def read(self, data: bytes) -> None:
        """Read a message that has come just now."""
        now_s = time.perf_counter()
        position = _POSITION.search(data, 0, _HEAD)
        if position is None:
            return
        message = orjson.loads(data)
        self.position[message["team"]] = (position[1].decode(), int(position[2]))
        if message["type"] != "delta":
            return
        for user, presence in message["users"].items():
            status, asked_s = self.stamps.get(user, ("", 0.0))
            if presence["status"] == status:
                self.updates += 1
                self.latencies_ms.append((now_s - asked_s) * 1000)


class Member(WSListener):
    """One socket.

    Args:
        number: which of the crowd.
        samples: where to write down what it reads; None to read nothing.
        on_gone: is called when it has ended, with the other side's close code, 0 for none.

    Attributes:
        entered: gets the kind of the message that made its view complete, `snapshot` or `delta`.
    """

    def __init__(self, number: int, samples: Samples | None, on_gone: Callable[[Member, int], None]) -> None:
        self.number = number
        self.entered: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting = True
        self._samples = samples
        self._on_gone = on_gone
        self._transport: WSTransport | None = None

    def send(self, message: bytes) -> None:
        """Send a text frame."""
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, message)

    def drop(self) -> None:
        """Be gone without a word, as after a crash."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # --- what picows calls ------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._waiting:
            self._look(bytes(frame.get_payload_as_memoryview()[:_HEAD]))
        if self._samples is not None:
            self._samples.read(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        # Declared to be there always, and to be of an enumeration that has no private codes; neither holds.
        closing = cast("WSCloseHandshake | None", transport.close_handshake)
        code = 0 if closing is None or closing.recv is None else int(cast("Any", closing.recv.code))
        if not self.entered.done():
            self.entered.set_exception(ConnectionError(f"Expected socket {self.number} to get in, got closed: {code}"))
        self._on_gone(self, code)

    def _look(self, head: bytes) -> None:
        view = _VIEW.match(head)
        if view is not None and b'"more":true' not in head:
            self._waiting = False
            if not self.entered.done():
                self.entered.set_result(view[1].decode())
