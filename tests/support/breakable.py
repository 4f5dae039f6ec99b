"""The command line, with a part in each worker that fails when its process is sent SIGUSR1.

``python -m tests.support.breakable serve …``: everything else is as it is in production.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from presence_server import cli
from presence_server.live.pulse import Pulse
from presence_server.web import member, supervisor

_run = Pulse.run


async def run(self: Pulse) -> None:
    """Ping like the real one, until told to fail."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    pinging = asyncio.create_task(_run(self))
    try:
        await told.wait()
        raise RuntimeError("broken by a test")
    finally:
        pinging.cancel()


if __name__ == "__main__":
    Pulse.run = run  # type: ignore[method-assign]
    supervisor.COMMAND = (sys.executable, "-m", "tests.support.breakable", "member")
    if sys.argv[1] == "member":
        sys.exit(member.main(sys.argv[2:]))
    sys.exit(cli.main())
