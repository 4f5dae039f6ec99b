"""The view that judges the server in every system test must itself take what is right and object to what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.view import Message, TeamView, Violation


def _message(version: int, users: dict[str, Any], *, epoch: str = "k1", **more: Any) -> Message:
    return {"team": "acme", "epoch": epoch, "version": version, "users": users, **more}


def _shown(status: str, since: int = 1, reason: str = "chosen") -> Message:
    return {"status": status, "since": since, "reason": reason}


@pytest.fixture
def view() -> TeamView:
    """Maria online and juan busy at version 5."""
    view = TeamView("acme")
    view.apply_snapshot(_message(5, {"maria": _shown("online"), "juan": _shown("busy")}), 0)
    return view


def test_a_delta_changes_who_is_in_it(view: TeamView) -> None:
    """Also offline, which leaves the view but is known and told."""
    view.apply_delta(_message(6, {"juan": _shown("offline", 2, "idle"), "ana": _shown("online", 2)}), 0)
    assert view.statuses() == {"maria": "online", "ana": "online"}
    assert view.history("juan") == ["busy", "offline"]
    assert view.version == 6


def test_absence_from_a_snapshot_is_offline(view: TeamView) -> None:
    """Who was shown and is absent now was told offline; who is shown as before is no news."""
    view.apply_snapshot(_message(1, {"maria": _shown("online", 9)}, epoch="k2"), 0)
    assert view.statuses() == {"maria": "online"}
    assert view.history("juan") == ["busy", "offline"]
    assert view.history("maria") == ["online"]


def test_a_snapshot_in_several_messages_adds_up(view: TeamView) -> None:
    """The first replaces, the others add, and until the last nothing of the old is gone."""
    view.apply_snapshot(_message(7, {"maria": _shown("online")}, more=True), 0)
    assert view.statuses() == {"maria": "online", "juan": "busy"}
    view.apply_snapshot(_message(7, {"ana": _shown("busy")}), 0)
    assert view.statuses() == {"maria": "online", "ana": "busy"}


def test_an_empty_delta_answers_a_resume(view: TeamView) -> None:
    """At the same version, once."""
    resumed = view.continued()
    resumed.apply_delta(_message(5, {}), 0)
    assert resumed.statuses() == view.statuses()
    with pytest.raises(Violation):
        resumed.apply_delta(_message(5, {}), 0)


WRONG_DELTAS = {
    "the version before": _message(4, {"juan": _shown("online", 2)}),
    "the same version": _message(5, {"juan": _shown("online", 2)}),
    "another epoch": _message(6, {"juan": _shown("online", 2)}, epoch="k2"),
    "nothing": _message(6, {}),
    "no change": _message(6, {"juan": _shown("busy")}),
    "an older change": _message(6, {"juan": _shown("online", 0)}),
    "an unknown status": _message(6, {"juan": _shown("away", 2)}),
    "an unknown reason": _message(6, {"juan": _shown("online", 2, "magic")}),
    "no since": _message(6, {"juan": {"status": "online", "reason": "chosen"}}),
    "no version": {"team": "acme", "epoch": "k1", "users": {}},
}


@pytest.mark.parametrize("message", WRONG_DELTAS.values(), ids=WRONG_DELTAS.keys())
def test_it_objects_to_a_delta_with(view: TeamView, message: Message) -> None:
    """What the contract rules out."""
    with pytest.raises(Violation):
        view.apply_delta(message, 0)


def test_it_objects_to_a_delta_before_a_snapshot() -> None:
    """A view begins with a snapshot, unless it was resumed."""
    with pytest.raises(Violation):
        TeamView("acme").apply_delta(_message(1, {"juan": _shown("online")}), 0)


WRONG_SNAPSHOTS = {
    "someone offline": [_message(6, {"juan": _shown("offline", 2)})],
    "a lower version": [_message(4, {})],
    "parts of two versions": [_message(6, {}, more=True), _message(7, {})],
    "someone twice": [_message(6, {"juan": _shown("busy")}, more=True), _message(6, {"juan": _shown("busy")})],
}


@pytest.mark.parametrize("messages", WRONG_SNAPSHOTS.values(), ids=WRONG_SNAPSHOTS.keys())
def test_it_objects_to_a_snapshot_with(view: TeamView, messages: list[Message]) -> None:
    """What the contract rules out."""
    *first, last = messages
    for message in first:
        view.apply_snapshot(message, 0)
    with pytest.raises(Violation):
        view.apply_snapshot(last, 0)


def test_it_objects_to_a_delta_within_a_snapshot(view: TeamView) -> None:
    """Parts of a snapshot follow each other."""
    view.apply_snapshot(_message(6, {}, more=True), 0)
    with pytest.raises(Violation):
        view.apply_delta(_message(7, {"juan": _shown("online", 2)}), 0)
