"""What the operating system tells about processes: CPU time and memory. Linux only."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path


def cpu_s(pid: int) -> float:
    """User and system CPU time of a process so far, all threads, seconds.

    What `utime` and `stime` of /proc/<pid>/stat add up to, read from the process's CPU clock, since the ticks there are
    too coarse (clock_getcpuclockid(3) makes the clock's id in this way).
    """
    return time.clock_gettime((~pid << 3) | 2)


def resident_kb(pid: int) -> int:
    """Resident memory of a process: VmRSS of /proc/<pid>/status, kilobytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"Expected VmRSS of process {pid}, got none: it has ended")


def raise_file_limit() -> int:
    """Allow as many open files as the system lets this account have; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def description() -> dict[str, str]:
    """What the figures were measured on."""
    cores = os.cpu_count() or 1
    facts = {
        "machine": f"{platform.machine()}, {cores} cores, {_processor()}",
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    for package in ("presence-server", "uvicorn", "starlette", "uvloop", "websockets", "redis", "picows"):
        facts[package] = version(package)
    return facts


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "unknown processor"
