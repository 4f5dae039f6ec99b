"""What is tried before an account is said to have all the rights it needs."""

from __future__ import annotations

import re

from presence_server.settings import Settings
from presence_server.store.permissions import COMMANDS
from presence_server.store.scripts import Scripts


def test_everything_that_scripts_do_is_tried() -> None:
    sources = "".join(script.source for script in Scripts(Settings(), ":feed:0").all())
    used = set(re.findall(r"redis\.p?call\('(\w+)'", sources))
    assert {name for name, *_ in COMMANDS} == used - {"TIME"}
