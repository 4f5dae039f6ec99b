"""Statuses, what teammates are told of a user, and what will happen to it next (section 2 of the contract)."""

from __future__ import annotations

from typing import Final, NamedTuple

from presence_server import errors

ONLINE: Final = "online"
BUSY: Final = "busy"
OFFLINE: Final = "offline"

SELECTABLE: Final = (ONLINE, BUSY)
STATUSES: Final = (*SELECTABLE, OFFLINE)


class Presence(NamedTuple):
    """What teammates see of one user.

    Attributes:
        status: `online`, `busy` or `offline`.
        since: instant of the commit in milliseconds since the epoch, or None for a user never seen.
        reason: why the status is what it is (rule 8), or None for a user never seen.
    """

    status: str
    since: int | None
    reason: str | None


class UserDetail(NamedTuple):
    """All that Redis knows of one user in one team; everything but `user` and `status` is None when never seen.

    Attributes:
        user: the user's id.
        status: what teammates see.
        since: instant of that status's commit, milliseconds since the epoch.
        reason: why (rule 8).
        chosen: what he picked.
        last_active: instant of the latest human input, milliseconds since the epoch.
        connections: how many connections are open, over all workers.
        next_change: the status that comes if nothing else happens, or None.
        next_change_at: when that is, milliseconds since the epoch, or None.
    """

    user: str
    status: str
    since: int | None = None
    reason: str | None = None
    chosen: str | None = None
    last_active: int | None = None
    connections: int | None = None
    next_change: str | None = None
    next_change_at: int | None = None


class TeamView(NamedTuple):
    """A team as read at one moment: the version that `users` stands for, and who is what."""

    epoch: str
    version: int
    users: dict[str, Presence]


def check_selectable(value: object) -> str:
    """Return `value` if a user may choose it (rule 2).

    Raises:
        errors.StatusNotSelectable: for `offline`, which comes by itself.
        errors.UnknownStatus: for a string that is no status.
        errors.BadMessage: for anything but a string.
    """
    if value in SELECTABLE:
        return str(value)
    if value == OFFLINE:
        raise errors.StatusNotSelectable("Expected 'online' or 'busy', got 'offline'")
    if isinstance(value, str):
        raise errors.UnknownStatus(f"Expected 'online' or 'busy', got '{value[:32]}'")
    raise errors.BadMessage(f"Expected 'status' to be a string, got {json_type(value)}")


def next_change(
    status: str, *, idle_at_ms: int, open_connections: int, held_until_ms: int
) -> tuple[str | None, int | None]:
    """Tell the status that comes if nothing else happens, and when.

    An open connection lasts as long as its worker lives, so it ends nothing by itself; only connections that are merely
    forgiven bring the user down when their grace ends (rules 1 and 6).
    """
    if status == OFFLINE:
        return None, None
    return OFFLINE, idle_at_ms if open_connections else min(idle_at_ms, held_until_ms)


def json_type(value: object) -> str:
    """Name the JSON type of a decoded value, for messages to people who do not know Python."""
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), "something else")
