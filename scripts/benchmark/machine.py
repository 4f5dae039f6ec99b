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
    return int(_found(rf"/proc/{pid}/status", r"^VmRSS:\s*(\d+)"))


def raise_file_limit() -> int:
    """Allow this process and its children as many open files as the account may have; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def description() -> dict[str, str]:
    """What the figures were measured on."""
    processor = _found("/proc/cpuinfo", r"^model name\s*: (.*)$")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {processor}"
    facts = {"machine": machine, "system": platform.platform(), "python": platform.python_version()}
    return facts | {package: version(package) for package in _PACKAGES}


def _found(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return found[1] if found else "0"
