"""``python -m presence_server``: the same as the console script."""

from __future__ import annotations

import sys

from presence_server.cli import main

sys.exit(main())
