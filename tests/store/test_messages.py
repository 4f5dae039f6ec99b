"""What is published: one message for each script, each change with its version, what was before and who did it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from presence_server.core.roster import Mark
from presence_server.store.operations.configure import KEEP_GRACE
from tests.store.listening import Ear
from tests.store.support import GRACE_MS, IDLE_MS, TEAM, Clock, Party, pass_time


def mark_of(message: dict[str, Any]) -> Mark:
    return Mark(message["epoch"], message["version"], message["tip"])


async def test_a_message_tells_all_changes_of_a_call(party: Party, clock: Clock, ear: Ear) -> None:
    await asyncio.gather(*[party.join(user) for user in ("maria", "juan")])
    [message] = ear.heard()
    assert (message["previous"], message["version"]) == (0, 2)
    assert message["changes"] == [
        ["maria", 1, "offline", "online", clock.now_ms, "signed_in", "online", None],
        ["juan", 2, "offline", "online", clock.now_ms, "signed_in", "online", None],
    ]


async def test_each_names_the_one_before_it(party: Party, clock: Clock, ear: Ear) -> None:
    """A hole is seen, and so is a fork, even after it was overtaken."""
    await party.join()
    await party.choose("maria", "busy")
    await party.store.configure(TEAM, 60_000, KEEP_GRACE)
    await party.log_out()
    messages = ear.heard()
    marks = [mark_of(message) for message in messages]
    assert [mark.version for mark in marks] == list(range(1, len(marks) + 1))
    assert len({mark.tip for mark in marks}) == len(marks)
    assert {mark.epoch for mark in marks} == {marks[0].epoch}
    before = [Mark(message["epoch"], message["previous"], message["previous_tip"]) for message in messages]
    assert before[1:] == marks[:-1]
    assert (await party.page()).standing.mark == marks[-1]


async def test_the_first_of_a_team_follows_its_beginning(party: Party, ear: Ear) -> None:
    await party.join()
    [message] = ear.heard()
    assert (message["previous"], message["previous_tip"]) == (0, message["epoch"])


async def test_what_was_before_and_who_did_it(party: Party, clock: Clock, ear: Ear) -> None:
    await party.join()
    await party.choose("maria", "busy")
    await party.choose("maria", "online", by="ana")
    await party.lost_for_good()
    await pass_time(clock, GRACE_MS, party)
    await party.sweep()
    await party.join()
    await party.store.sign_out(TEAM, "maria", "", refuse_ms=1_000, by="ana")
    await party.join(session="s2", issued_at_s=clock.now_ms / 1000)
    await party.log_out(session="s2")
    told = [change for message in ear.heard() for change in message.get("changes", ())]
    assert [(before, status, reason, by) for _, _, before, status, _, reason, _, by in told] == [
        ("offline", "online", "signed_in", None),
        ("online", "busy", "chosen", "maria"),
        ("busy", "online", "forced", "ana"),
        ("online", "offline", "disconnected", None),
        ("offline", "online", "signed_in", None),
        ("online", "offline", "forced", "ana"),
        ("offline", "online", "signed_in", None),
        # By the worker that let the hold go, which the team knows as such; or by the sign-out.
        ("online", "offline", "signed_out", None),
    ]


async def test_a_sign_out_that_changes_nothing_is_told_too(party: Party, ear: Ear) -> None:
    """Every worker closes what it holds of it; and as it has a version, its loss is noticed."""
    await party.store.sign_out(TEAM, "maria", "s1", refuse_ms=1_000)
    [message] = ear.heard()
    assert (message["signed_out"], message["version"]) == (["maria", "s1"], 1)
    assert "changes" not in message


async def test_words_of_any_kind_are_one_json_string(party: Party, ear: Ear) -> None:
    user = "a:b@c+d-e.f"
    await party.join(user)
    await party.store.sign_out(TEAM, user, "", refuse_ms=1_000, by="")
    assert [message.get("signed_out") for message in ear.heard()] == [None, [user, ""]]


@pytest.mark.parametrize("operation", ["join", "lose", "touch", "sweep"])
async def test_what_changes_nothing_is_not_told(party: Party, clock: Clock, ear: Ear, operation: str) -> None:
    await party.join()
    ear.heard()
    if operation == "join":
        await party.join()
    elif operation == "lose":
        await party.lost_for_good()
    elif operation == "touch":
        await party.store.repairs.touch(TEAM, [("maria", clock.now_s())])
    else:
        await pass_time(clock, IDLE_MS - 125, party)
        await party.sweep()
    assert ear.heard() == []
    assert (await party.page()).standing.mark.version == 1
