"""Reading frames: whatever a client sends, cut wherever, is understood as `websockets` would."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from presence_server.core.connection import State
from presence_server.core.messages import MAX_MESSAGE_BYTES
from presence_server.web.handshake import Answer
from presence_server.web.protocol import PresenceProtocol
from presence_server.web.small_frames import take
from tests.support.budget import examples
from tests.web.peer import Presence, frame, text

Event = tuple[str, object]


class MemoryTransport(asyncio.Transport):
    """A transport into memory."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.paused = False
        self._closing = False

    def write(self, data: Any) -> None:
        assert not self._closing
        self.written += data

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        # Only of somebody whose connection has been closed, and who sends on.
        self.paused = True

    def resume_reading(self) -> None:
        """Reading goes on anyway."""


async def delivered(pieces: list[bytes]) -> tuple[list[Event], list[tuple[Opcode, bytes]]]:
    """What the protocol reports of these pieces, and the frames that it answers with."""
    presence = Presence()
    app = SimpleNamespace(state=SimpleNamespace(worker=presence.worker, settings=presence.worker.settings))
    transport = MemoryTransport()
    protocol = PresenceProtocol(
        cast(Any, SimpleNamespace(app=app)), cast(Any, SimpleNamespace(connections=set())), app_state={}
    )
    protocol.connection_made(transport)
    protocol.enter(Answer(b"", accepted=True), asyncio.get_running_loop().time() + 10)
    # Nobody looks at what is said: as if the hello had been.
    presence.made[0].state = State.OPEN
    answered = len(transport.written)
    for piece in pieces:
        if transport.is_closing() or transport.paused:
            break
        protocol.data_received(piece)
    protocol.connection_lost(None)
    events = [(name, None if name == "garbled" else value) for name, value in presence.events]
    if events[-1:] == [("lost", 1006)]:
        # Only by the end of the test.
        del events[-1]
    return events, list(frames_of(transport.written[answered:]))


def frames_of(data: bytes) -> Iterator[tuple[Opcode, bytes]]:
    """The server's frames, all of them short."""
    while data:
        size = data[1]
        assert size < 126
        assert len(data) >= size + 2
        yield Opcode(data[0] & 0x0F), data[2 : 2 + size]
        data = data[2 + size :]


class Lenient(Protocol):
    """Takes a close frame between fragments, as the RFC has it."""

    def recv_frame(self, frame: Frame) -> None:
        self.current_size = None if frame.opcode is Opcode.CLOSE else self.current_size
        super().recv_frame(frame)


def expected(data: bytes) -> tuple[list[Event], list[bytes]]:
    """The same by `websockets` alone: what is reported, up to the end of the connection, and the pings before it."""
    parser = Lenient(Side.SERVER, max_size=MAX_MESSAGE_BYTES)
    parser.receive_data(data)
    events: list[Event] = []
    pings = []
    message = b""
    for each in cast("list[Any]", parser.events_received()):
        if each.opcode is Opcode.PING:
            pings.append(bytes(each.data))
        elif each.opcode in (Opcode.TEXT, Opcode.CONT):
            message += each.data
            if each.fin:
                events.append(("received", message))
                message = b""
        elif each.opcode is Opcode.BINARY:
            return [*events, ("garbled", None)], pings
        elif each.opcode is Opcode.CLOSE:
            assert parser.close_rcvd is not None
            return [*events, ("lost", parser.close_rcvd.code)], pings
    if parser.parser_exc is not None:
        assert parser.close_sent is not None
        code = parser.close_sent.code
        # Not text or too large, in the contract's words.
        events.append(("garbled", None) if code in (1007, 1009) else ("lost", int(code)))
    return events, pings


payloads = st.binary(max_size=140) | st.builds(
    bytes, st.sampled_from([125, 126, 127, 65_534, 65_535, 65_536, 65_537, 70_000])
)
pings = st.builds(frame, st.just(Opcode.PING), st.binary(max_size=126))
pongs = st.builds(frame, st.just(Opcode.PONG), st.binary(max_size=126))
texts = st.builds(text, payloads)


@st.composite
def fragmented(draw: st.DrawFn) -> bytes:
    """A message in several frames, with pings between them."""
    parts = draw(st.lists(st.binary(max_size=50) | st.builds(bytes, st.just(40_000)), min_size=2, max_size=4))
    opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.TEXT, Opcode.BINARY]))
    data = b""
    for number, part in enumerate(parts):
        data += frame(opcode if not number else Opcode.CONT, part, fin=number == len(parts) - 1)
        data += draw(st.just(b"") | pings)
    return data


@st.composite
def wrong(draw: st.DrawFn) -> bytes:
    """What the protocol forbids, or leaves unfinished."""
    opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.PONG, Opcode.PING, Opcode.CONT]))
    data = draw(st.binary(max_size=8))
    return draw(
        st.sampled_from(
            [
                frame(opcode, data, mask=False),
                frame(opcode, data, rsv=4),
                frame(opcode, data, rsv=3),
                frame(opcode, data, fin=False),
                frame(Opcode.CONT, data),
                frame(Opcode.PONG, bytes(126)),
                bytes([0x80 | opcode, 0x80 | 126, 0, len(data)]) + bytes(4) + data,
                bytes([0x80 | opcode, 0x80 | 127]) + len(data).to_bytes(8, "big") + bytes(4) + data,
                bytes([0x83, 0x80 | len(data)]) + bytes(4) + data,
                frame(opcode, data)[:-1],
            ]
        )
    )


closes = st.builds(
    frame,
    st.just(Opcode.CLOSE),
    st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa1", b"\x03", b"\x03\xed", b"\x03\xe8\xff"]),
)
binaries = st.builds(frame, st.just(Opcode.BINARY), payloads)
likely = st.lists(texts | pongs | pings | fragmented(), max_size=6)
any_frames = st.builds(
    lambda before, last, after: b"".join([*before, last, *after]),
    likely,
    st.just(b"") | wrong() | closes | binaries,
    likely,
)


@given(any_frames, st.lists(st.floats(0, 1), max_size=6))
@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_frames_are_understood_as_by_websockets(data: bytes, cuts: list[float]) -> None:
    """Any sequence, cut anywhere; a connection that ends is told one close frame, as the last."""
    ends = [0, *sorted(int(cut * len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(ends) if start < end]
    reported, answers = asyncio.run(delivered(pieces))
    events, pinged = expected(data)
    assert reported == events
    pongs_sent = [payload for opcode, payload in answers if opcode is Opcode.PONG]
    ended = bool(events) and events[-1][0] != "received"
    if ended:
        assert pongs_sent[: len(pinged)] == pinged[: len(pongs_sent)]
    else:
        assert pongs_sent == pinged
    others = [opcode for opcode, _ in answers if opcode is not Opcode.PONG]
    assert others == [Opcode.CLOSE] * ended
    if ended:
        assert answers[-1][0] is Opcode.CLOSE


@given(any_frames)
@settings(
    max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_frames_are_understood_byte_by_byte(data: bytes) -> None:
    data = data[:3_000]
    reported, _ = asyncio.run(delivered([data[at : at + 1] for at in range(len(data))]))
    assert reported == expected(data)[0]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 255, 256, 65_535])
def test_a_whole_text_frame_is_taken(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    message = text(data[:size])
    taken = take(b"before" + message + b"after", 6)
    assert taken is not None
    assert (taken.text, taken.end) == (data[:size], 6 + len(message))


def test_a_whole_pong_is_taken_without_its_payload() -> None:
    pong = frame(Opcode.PONG, b"any")
    assert take(pong, 0) == (None, len(pong))


OTHER_FORMS = {
    "ping": frame(Opcode.PING, b"x"),
    "close": frame(Opcode.CLOSE),
    "binary": frame(Opcode.BINARY, b"x"),
    "first fragment": frame(Opcode.TEXT, b"x", fin=False),
    "last fragment": frame(Opcode.CONT, b"x"),
    "reserved bit": frame(Opcode.TEXT, b"x", rsv=4),
    "unmasked": frame(Opcode.TEXT, b"abcdef", mask=False),
    "64 KiB": text(bytes(65_536)),
    "long pong": frame(Opcode.PONG, bytes(126)),
    "length in too many bytes": b"\x81\xfe\x00\x01" + bytes(5),
}


@pytest.mark.parametrize("data", OTHER_FORMS.values(), ids=OTHER_FORMS.keys())
def test_other_forms_are_left_to_the_library(data: bytes) -> None:
    assert take(data, 0) is None


@pytest.mark.parametrize("size", [0, 5, 300])
def test_what_is_incomplete_is_left_to_the_library(size: int) -> None:
    message = text(bytes(size))
    assert [take(message[:end], 0) for end in range(len(message))] == [None] * len(message)
