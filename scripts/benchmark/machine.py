"""What the operating system tells about processes: CPU time and memory. Linux only."""

from __future__ import annotations

import os
import platform
import re
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("presence-server", "uvicorn", "starlette", "uvloop", "websockets", "redis", "picows")


def cpu_s(pid: int) -> float:
    """User and system CPU time of a process so far, all threads, seconds.

    What `utime` and `stime` of /proc/<pid>/stat add up to, read from the process's CPU clock, since the ticks there are
    too coarse (clock_getcpuclockid(3) makes the clock's id in this way).
    """
    return time.clock_gettime((~pid << 3) | 2)


def resident_kb(pid: int) -> int:
    """Resident memory of a process: VmRSS of /proc/<pid>/status, kilobytes."""
    found = re.search(r"^VmRSS:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"Expected VmRSS of process {pid}, got none: it has ended")
    return int(found[1])


def raise_file_limit() -> int:
    """Allow this process and its children as many open files as the account may have; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def description() -> dict[str, str]:
    """What the figures were measured on."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = found[1].strip() if found else "unknown processor"
    facts = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {processor}",
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    return facts | {package: version(package) for package in _PACKAGES}
