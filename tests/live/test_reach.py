"""The log has a line for what befell many partitions, not one for each."""

from __future__ import annotations

import logging

import pytest

from presence_server.live import reach
from presence_server.live.reach import Reach


async def test_what_befalls_all_alike_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    partitions = Reach(lambda: (64, 64))
    for _ in range(64):
        partitions.say(logging.WARNING, "lost")
    partitions.say(logging.ERROR, "refused")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "lost"),
        ("ERROR", "refused"),
    ]


async def test_what_comes_again_later_is_said_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "_ALIKE_S", 0.0)
    partitions = Reach(lambda: (1, 1))
    for _ in range(2):
        partitions.say(logging.WARNING, "lost")
    assert caplog.messages == ["lost", "lost"]


async def test_no_more_is_remembered_than_a_hundred(caplog: pytest.LogCaptureFixture) -> None:
    partitions = Reach(lambda: (1, 1))
    for number in [*range(101), 0]:
        partitions.say(logging.WARNING, f"refused {number}")
    assert caplog.messages.count("refused 0") == 2
