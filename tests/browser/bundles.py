"""The npm package, built and installed as an adopter would, and what bundlers make of a page that uses it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.ports import free_port
from tests.support.process import Process
from tests.support.worker import ROOT, get_status

BROWSER = ROOT / "browser"
MODULES = BROWSER / "node_modules"


def node(*arguments: str, cwd: Path = BROWSER) -> str:
    """Run Node and return what it printed; what it complains of fails the test."""
    found = subprocess.run(["node", *arguments], cwd=cwd, capture_output=True, text=True, env=_environment())
    assert found.returncode == 0, f"Expected node {' '.join(arguments)} to succeed, got\n{found.stdout}{found.stderr}"
    return found.stdout


def tool(name: str, *arguments: str, cwd: Path) -> str:
    """Run a tool of `browser/node_modules`."""
    return node(str((MODULES / ".bin" / name).resolve()), *arguments, cwd=cwd)


def esbuild(entry: str, *flags: str, cwd: Path) -> None:
    """Bundle a page's script as a browser's module."""
    binary = str((MODULES / ".bin" / "esbuild").resolve())
    subprocess.run([binary, entry, "--bundle", "--format=esm", *flags], cwd=cwd, check=True, capture_output=True)


@contextlib.contextmanager
def vite_dev(folder: Path, *command: str) -> Iterator[str]:
    """Vite's development server, or with `preview` one for what it has built; gives its origin."""
    port = free_port()
    vite = str((MODULES / ".bin" / "vite").resolve())
    line = ["node", vite, *command, "--port", str(port), "--strictPort", "--host", "127.0.0.1"]
    process = Process("vite", line, _environment(), folder)
    process.spawn()
    try:
        # What it prints depends on colours, terminals and versions.
        process.await_sync(lambda: get_status(port, "/") is not None)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.close()


def adopt(folder: Path) -> Path:
    """Make a project that has the package, React and the tools installed; returns it."""
    package = folder / "node_modules" / "presence-client"
    package.mkdir(parents=True)
    shutil.copy(BROWSER / "package.json", package)
    node("build.mjs", "--package", str(package / "dist"))
    tool("tsc", "--outDir", str(package / "dist" / "types"), cwd=BROWSER)
    for name in ("react", "react-dom", "scheduler", "@types", "csstype"):
        (folder / "node_modules" / name).symlink_to(MODULES / name)
    (folder / "package.json").write_text(json.dumps({"name": "host", "private": True, "type": "module"}))
    return folder


def _environment() -> dict[str, str]:
    """Without colours, whatever the machine asks for: `FORCE_COLOR=0` and `CI` turn them on for some tools."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "FORCE_COLOR")}
    return kept | {"NODE_ENV": "development", "NO_COLOR": "1"}
