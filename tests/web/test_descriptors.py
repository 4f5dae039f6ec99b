"""File descriptors kept back."""

from __future__ import annotations

import logging
import os
import resource

import pytest

from presence_server.web.descriptors import Descriptors


def next_free(descriptor: int) -> int:
    copy = os.dup(descriptor)
    os.close(copy)
    return copy


@pytest.fixture
def file(tmp_path_factory: pytest.TempPathFactory) -> int:
    return os.open(tmp_path_factory.getbasetemp(), os.O_RDONLY)


def test_some_are_kept_back(file: int) -> None:
    free = next_free(file)
    # A quarter of a small limit, 64 of a large one.
    for limit in (free * 4 // 3 + 3, free + 65):
        assert Descriptors(limit).left(file)
    for limit in (free * 4 // 3 - 3, 64):
        assert not Descriptors(limit).left(file) or limit > free * 4 // 3
    os.close(file)


def test_what_was_used_up_and_is_free_again(file: int, caplog: pytest.LogCaptureFixture) -> None:
    free = next_free(file)
    found = Descriptors((free + 1) * 4 // 3 + 1)
    assert found.left(file)
    more = [os.dup(file) for _ in range(4)]
    assert [found.left(file) for _ in range(3)] == [False] * 3
    assert found.refusals == 3
    assert [record.levelno for record in caplog.records] == [logging.ERROR], "one line a minute"
    for each in (*more, file):
        os.close(each)
    assert found.left(0)


def test_the_systems_limit_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4, 4))
    assert not Descriptors().left(0)


def test_none_at_all(file: int) -> None:
    os.close(file)
    assert not Descriptors(10_000).left(file)
