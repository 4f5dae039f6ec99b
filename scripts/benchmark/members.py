"""The load generator's sockets: most only count what they get, a few look at it."""

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

TEXT: Final = WSMsgType.TEXT
# How far into a frame to look for what kind it is: the team's members come last.
_HEAD: Final = 256
_SNAPSHOT: Final = b'{"type":"snapshot"'
_DELTA: Final = b'{"type":"delta"'
_POSITION: Final = re.compile(rb'"epoch": ?"([^"]*)", ?"version": ?(\d+)')
_READ_BUFFER_BYTES: Final = 4096
_HANDSHAKE_S: Final = 120.0


class Tally:
    """What all sockets together got."""

    __slots__ = ("bytes", "frames")

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0


class Member(WSListener):
    """One socket that counts.

    Attributes:
        number: which of the crowd.
        entered: gets the kind of the message that made its view complete, `snapshot` or `delta`.
        ended: why the other side closed it: the close code, or 0 for none.
    """

    def __init__(self, number: int, hello: bytes, tally: Tally, on_gone: Callable[[Member], None]) -> None:
        self.number = number
        self.entered: asyncio.Future[str] | None = asyncio.get_running_loop().create_future()
        self.ended = 0
        self._transport: WSTransport | None = None
        self._hello = hello
        self._tally = tally
        self._on_gone = on_gone

    @property
    def settings(self) -> dict[str, Any]:
        """How to connect it by `picows.ws_connect`."""
        return {"read_buffer_init_size": _READ_BUFFER_BYTES, "websocket_handshake_timeout": _HANDSHAKE_S}

    def send(self, message: bytes) -> None:
        """Send a text frame."""
        if self._transport is not None:
            self._transport.send(TEXT, message)

    def drop(self) -> None:
        """Be gone without a word, as after a crash."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # --- what picows calls ------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.send(TEXT, self._hello)
        self._hello = b""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        tally = self._tally
        tally.frames += 1
        tally.bytes += frame.payload_size
        if self.entered is not None:
            self._enter(bytes(frame.get_payload_as_memoryview()[:_HEAD]))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        # Declared to be there always, and to be of an enumeration that has no private codes; neither holds.
        closing = cast("WSCloseHandshake | None", transport.close_handshake)
        if closing is not None and closing.recv is not None:
            self.ended = int(cast("int", closing.recv.code))
        if self.entered is not None and not self.entered.done():
            self.entered.set_exception(ConnectionError(f"Expected socket {self.number} to get in, got closed"))
        self._on_gone(self)

    def _enter(self, head: bytes) -> None:
        compact = head.replace(b'": ', b'":')
        if compact.startswith(_DELTA):
            self._entered("delta")
        elif compact.startswith(_SNAPSHOT) and b'"more":true' not in compact:
            self._entered("snapshot")

    def _entered(self, kind: str) -> None:
        entered, self.entered = self.entered, None
        if entered is not None and not entered.done():
            entered.set_result(kind)


class Samples:
    """What the sampled sockets have seen.

    Attributes:
        stamps: the newest status that each user asked for, and when, by `time.perf_counter`.
        latencies_s: from asking to seeing it.
        deltas, updates: how many messages and changes of users were seen.
        position: the epoch and version of each sampled socket's team.
    """

    def __init__(self) -> None:
        self.stamps: dict[str, tuple[str, float]] = {}
        self.latencies_s: list[float] = []
        self.deltas = 0
        self.updates = 0
        self.position: dict[int, tuple[str, int]] = {}

    def restart(self) -> None:
        """Forget all but the positions."""
        self.stamps.clear()
        self.latencies_s = []
        self.deltas = self.updates = 0


class SampledMember(Member):
    """One socket that also reads."""

    def __init__(
        self, number: int, hello: bytes, tally: Tally, on_gone: Callable[[Member], None], samples: Samples
    ) -> None:
        super().__init__(number, hello, tally, on_gone)
        self._samples = samples

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        now_s = time.perf_counter()
        super().on_ws_frame(transport, frame)
        data = frame.get_payload_as_bytes()
        position = _POSITION.search(data, 0, _HEAD)
        if position is None:
            return
        self._samples.position[self.number] = (position[1].decode(), int(position[2]))
        message = orjson.loads(data)
        if message["type"] == "delta":
            self._see(message["users"], now_s)

    def _see(self, users: dict[str, dict[str, Any]], now_s: float) -> None:
        samples = self._samples
        samples.deltas += 1
        for user, presence in users.items():
            status, asked_s = samples.stamps.get(user, ("", 0.0))
            if presence["status"] == status:
                samples.updates += 1
                samples.latencies_s.append(now_s - asked_s)
