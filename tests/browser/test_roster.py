"""The browser's roster: snapshots and deltas, in whatever order they arrive (presence-roster.js)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

Message = dict[str, Any]

APPLY = """async (messages) => {
  const { abandonPartial, applyDelta, applySnapshot, createRoster } = await import("/static/presence-roster.js");
  const roster = createRoster();
  const told = [];
  // Parsed here, as from a socket: only JSON.parse makes an own property of "__proto__".
  for (const message of JSON.parse(messages)) {
    let changes = null;
    if (message.type === "lost") abandonPartial(roster);
    else changes = (message.type === "snapshot" ? applySnapshot : applyDelta)(roster, message);
    told.push(changes && [...changes].map(([user, { before, after }]) => [user, before.status, after.status]));
  }
  const users = [...roster.users].map(([user, { status }]) => [user, status]);
  return { told, users, epoch: roster.epoch, version: roster.version, waiting: roster.waiting.length };
}"""


def presence(status: str, since: int = 1) -> Message:
    return {"status": status, "since": since, "reason": "chosen"}


def snapshot(version: int, users: dict[str, str], *, more: bool = False, epoch: str = "k1") -> Message:
    told = {user: presence(status) for user, status in users.items()}
    return {"type": "snapshot", "epoch": epoch, "version": version, "users": told} | ({"more": True} if more else {})


def delta(version: int, users: dict[str, str], *, epoch: str = "k1") -> Message:
    told = {user: presence(status, version) for user, status in users.items()}
    return {"type": "delta", "epoch": epoch, "version": version, "users": told}


LOST: Message = {"type": "lost"}


async def apply(page: Page, *messages: Message) -> dict[str, Any]:
    result: dict[str, Any] = await page.evaluate(APPLY, json.dumps(messages))
    return result | {"users": dict(result["users"])}


async def test_snapshot_tells_what_it_changes_and_makes_the_absent_offline(modules: Page) -> None:
    result = await apply(
        modules,
        snapshot(5, {"maria": "online", "juan": "busy"}),
        snapshot(9, {"juan": "busy", "ana": "online"}),
    )
    assert result["told"] == [
        [["maria", "offline", "online"], ["juan", "offline", "busy"]],
        [["maria", "online", "offline"], ["ana", "offline", "online"]],
    ]
    assert result["users"] == {"juan": "busy", "ana": "online"}
    assert (result["epoch"], result["version"]) == ("k1", 9)


async def test_delta_changes_only_whom_it_names(modules: Page) -> None:
    result = await apply(
        modules,
        snapshot(5, {"maria": "online", "juan": "busy"}),
        delta(7, {"juan": "offline", "ana": "online"}),
    )
    assert result["told"][1] == [["juan", "busy", "offline"], ["ana", "offline", "online"]]
    assert result["users"] == {"maria": "online", "juan": "offline", "ana": "online"}
    assert result["version"] == 7


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString", "hasOwnProperty"])
async def test_a_user_may_be_named_like_a_part_of_an_object(modules: Page, name: str) -> None:
    result = await apply(modules, snapshot(1, {name: "online", "maria": "busy"}), delta(2, {name: "busy"}))
    assert result["told"][1] == [[name, "online", "busy"]]
    assert result["users"] == {name: "busy", "maria": "busy"}


async def test_snapshot_in_parts_becomes_visible_as_a_whole(modules: Page) -> None:
    result = await apply(
        modules,
        snapshot(1, {"maria": "online", "juan": "online"}),
        snapshot(5, {"maria": "online"}, more=True),
        snapshot(5, {"ana": "busy"}, more=True),
        snapshot(5, {"kenji": "online"}),
    )
    assert result["told"][1:3] == [None, None]
    assert result["told"][3] == [
        ["juan", "online", "offline"],
        ["ana", "offline", "busy"],
        ["kenji", "offline", "online"],
    ]
    assert result["users"] == {"maria": "online", "ana": "busy", "kenji": "online"}


async def test_parts_of_a_lost_connection_are_not_mixed_with_those_of_the_next(modules: Page) -> None:
    result = await apply(
        modules,
        snapshot(5, {"maria": "online"}, more=True),
        LOST,
        snapshot(5, {"juan": "busy"}, more=True),
        snapshot(5, {"ana": "busy"}),
    )
    assert result["users"] == {"juan": "busy", "ana": "busy"}


async def test_deltas_before_their_snapshot_are_applied_after_it(modules: Page) -> None:
    result = await apply(
        modules,
        delta(4, {"maria": "busy"}),
        snapshot(5, {"maria": "online", "juan": "online"}, more=True),
        delta(6, {"juan": "offline"}),
        delta(7, {"ana": "busy"}, epoch="k0"),
        snapshot(5, {"kenji": "online"}),
    )
    assert result["told"][:4] == [None] * 4
    assert result["users"] == {"maria": "online", "juan": "offline", "kenji": "online"}
    assert (result["version"], result["waiting"]) == (6, 0)


async def test_snapshot_that_changes_nothing_tells_nothing(modules: Page) -> None:
    result = await apply(modules, snapshot(1, {"maria": "online"}), snapshot(1, {"maria": "online"}))
    assert result["told"][1] == []


async def test_delta_that_is_not_newer_is_ignored(modules: Page) -> None:
    result = await apply(
        modules, snapshot(5, {"maria": "online"}), delta(5, {"maria": "busy"}), delta(3, {"juan": "busy"})
    )
    assert result["told"][1:] == [[], []]
    assert result["users"] == {"maria": "online"}


async def test_delta_of_a_new_epoch_waits_for_its_snapshot(modules: Page) -> None:
    result = await apply(
        modules,
        snapshot(90, {"maria": "online"}),
        delta(3, {"maria": "busy"}, epoch="k2"),
        snapshot(2, {"maria": "online", "juan": "busy"}, epoch="k2"),
    )
    assert result["told"][1] is None
    assert result["users"] == {"maria": "busy", "juan": "busy"}
    assert (result["epoch"], result["version"]) == ("k2", 3)


@pytest.mark.parametrize("seed", range(20))
async def test_any_stream_ends_in_the_server_s_view(modules: Page, seed: int) -> None:
    """A server changes statuses at random; the client gets snapshots, whole or in parts, and deltas in between."""
    dice = random.Random(seed)
    names = ["maria", "juan", "ana", "__proto__", "kenji"]
    version, server, pending = 1, dict.fromkeys(names, "offline"), set[str]()
    messages: list[Message] = []

    def send_snapshot() -> None:
        present = [(user, status) for user, status in server.items() if status != "offline"]
        cuts = sorted(dice.choices(range(len(present) + 1), k=dice.randrange(3)))
        parts = [dict(present[a:b]) for a, b in zip([0, *cuts], [*cuts, len(present)], strict=True)]
        messages.extend(snapshot(version, part, more=index < len(parts) - 1) for index, part in enumerate(parts))
        pending.clear()

    def send_delta() -> None:
        messages.append(delta(version, {user: server[user] for user in sorted(pending)}))
        pending.clear()

    send_snapshot()
    for _ in range(60):
        action = dice.random()
        if action < 0.6:
            version += dice.randint(1, 3)
            user = dice.choice(names)
            server[user] = dice.choice(["online", "busy", "offline"])
            pending.add(user)
        elif action < 0.9:
            send_delta()
        else:
            messages.append(LOST)
            send_snapshot()
    send_delta()
    result = await apply(modules, *messages)
    assert {user: result["users"].get(user, "offline") for user in names} == server
    assert result["version"] == version
