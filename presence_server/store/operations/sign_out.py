"""`sign_out.lua`: end sessions of a user in a team (rule 7, and DELETE of section 6)."""

from __future__ import annotations

from typing import NamedTuple

NAME = "sign_out"


class SignOut(NamedTuple):
    """One sign-out.

    Attributes:
        user: whose.
        session: which; empty for all of them.
        refuse_ms: how long the team refuses their return.
        by: who did it; empty for the server itself. Anybody but himself is an administrator.
    """

    user: str
    session: str
    refuse_ms: int
    by: str
