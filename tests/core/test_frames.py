"""Frames, read back by the parser of `websockets`."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from presence_server.core import frames

BOUNDARIES = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]


def parse_all(data: bytes) -> list[Frame]:
    """Every frame in `data`, as a client sees them."""
    reader = StreamReader()
    reader.feed_data(data)
    found = []
    while not _at_end(reader):
        found.append(_run(Frame.parse(reader.read_exact, mask=False, max_size=1_000_000)))
    return found


def _at_end(reader: StreamReader) -> bool:
    return not reader.buffer


def _run(steps: Generator[None, None, Any]) -> Any:
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    raise AssertionError("Expected a whole frame, got a part of one")


@pytest.mark.parametrize("size", BOUNDARIES)
def test_a_text_frame_of_every_length_is_read_as_it_was_written(size: int) -> None:
    payload = b"x" * size
    assert parse_all(frames.text(payload)) == [Frame(Opcode.TEXT, payload, fin=True)]


@pytest.mark.parametrize("size", BOUNDARIES)
def test_its_bytes_are_those_of_websockets(size: int) -> None:
    payload = b"x" * size
    assert frames.text(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


@given(st.lists(st.binary(max_size=300), max_size=5))
@example([b"", b"a" * 125, b"b" * 126])
def test_frames_in_a_row_stay_apart(payloads: list[bytes]) -> None:
    stream = b"".join(map(frames.text, payloads))
    assert [bytes(frame.data) for frame in parse_all(stream)] == payloads


@given(st.one_of(st.binary(max_size=200), st.sampled_from([b"x" * size for size in BOUNDARIES])))
def test_a_frame_comes_apart_again(payload: bytes) -> None:
    assert frames.payload(frames.text(payload)) == payload


def test_a_ping_is_one() -> None:
    assert parse_all(frames.PING) == [Frame(Opcode.PING, b"", fin=True)]
