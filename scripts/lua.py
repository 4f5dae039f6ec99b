"""Writes the Lua scripts, each as it is sent to Redis, into a folder: ``python scripts/lua.py FOLDER``, for luacheck.

The files of the package are parts: by themselves they use what others have defined.
"""

from __future__ import annotations

import sys
from pathlib import Path

from presence_server.settings import Settings
from presence_server.store.scripts import Scripts

folder = Path(sys.argv[1])
for script in Scripts(Settings(), ":feed").all():
    (folder / f"{script.name}.lua").write_text(script.source)
