"""The measuring process's hand on a load generator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import orjson

from benchmark.processes import environment


class Load:
    """A load generator.

    Args:
        log: the file that takes what it prints to standard error.
    """

    def __init__(self, log: Path) -> None:
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmark.generator"],
                env=environment({}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def order(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Have something done and return the answer; see `benchmark.crowd.Crowd` for what can be.

        Raises:
            RuntimeError: it could not be done.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps({"do": name, **arguments}) + b"\n")
        self._process.stdin.flush()
        answer = cast("dict[str, Any]", orjson.loads(self._process.stdout.readline()))
        if "error" in answer:
            raise RuntimeError(f"Expected the load generator to {name}, got {answer['error']}")
        return answer
