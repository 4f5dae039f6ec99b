"""Redis's clock, by which everything is stamped, as this worker knows it: by what was asked and answered when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.store.support import IDLE_MS, Clock, Party, pass_time


@pytest.fixture
def slow_answers(party: Party, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Milliseconds until each of the next answers is read: this process waits for its processor."""
    waits: list[int] = []
    execute = party.store.link.execute

    async def execute_slowly(commands: Sequence[Any]) -> list[Any]:
        answer = await execute(commands)
        if waits:
            clock.move(waits.pop(0))
        return answer

    monkeypatch.setattr(party.store.link, "execute", execute_slowly)
    return waits


async def test_an_answer_that_comes_late_is_no_jump_and_makes_no_input_older(
    party: Party, clock: Clock, slow_answers: list[int]
) -> None:
    await party.beat()
    slow_answers.append(2_000)
    _, jump_ms = await party.store.vigil.beat(teams=0)
    assert (party.store.now_ms(), jump_ms) == (clock.now_ms, 0.0)
    await party.join()
    await pass_time(clock, IDLE_MS - clock.STEP_MS, party)
    await party.sweep()
    assert await party.status() == ("online", "signed_in")
    clock.move(clock.STEP_MS)
    await party.sweep()
    assert await party.status() == ("offline", "idle")


async def test_one_that_comes_sooner_is_believed(party: Party, clock: Clock, slow_answers: list[int]) -> None:
    """After the clock was set, all that is known is what one answer has told, however late."""
    clock.set_back(60_000)
    slow_answers.append(500)
    await party.store.vigil.beat(teams=0)
    assert party.store.now_ms() == clock.now_ms - 60_500
    clock.set_back(60_000)
    await party.store.vigil.beat(teams=0)
    assert party.store.now_ms() == clock.now_ms - 60_000


async def test_a_millisecond_is_not_its_beginning(party: Party, clock: Clock, slow_answers: list[int]) -> None:
    """Redis tells whole ones: that an answer seems to be from before its question proves no late one right."""
    await party.beat()
    clock.now_ms += 0.75  # type: ignore[assignment]
    slow_answers.append(500)
    _, jump_ms = await party.store.vigil.beat(teams=0)
    assert party.store.now_ms() == int(clock.now_ms)
    assert abs(jump_ms) < 1
