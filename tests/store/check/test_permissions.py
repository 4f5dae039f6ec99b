"""What is tried before an account is said to have all the rights it needs."""

from __future__ import annotations

import re

from presence_server.settings import Settings
from presence_server.store.check.permissions import COMMANDS
from presence_server.store.scripts import Scripts
from tests.support.valkey import rights

# Beside scripts, for one thing or another.
DIRECT = {"evalsha", "script|load", "publish", "subscribe", "unsubscribe", "time", "info"}
SELDOM = {"role", "scan", "select", "client|setinfo"}


def test_everything_that_scripts_do_is_tried() -> None:
    sources = "".join(script.source for script in Scripts(Settings(), ":feed:0").all())
    used = set(re.findall(r"\b(?:redis\.p?)?call\('(\w+)'", sources))
    assert {name for name, *_ in COMMANDS} == used - {"TIME"}


def test_no_more_is_documented_than_is_needed() -> None:
    """That it is enough, all other tests show."""
    documented = {right.removeprefix("+") for right in rights() if right.startswith("+")}
    assert documented == {name.lower() for name, *_ in COMMANDS} | DIRECT | SELDOM
