"""The log: one line a message, in either format."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from presence_server.web import logs
from tests.support.worker import ROOT

LOG_SOMETHING = """
import logging, sys, warnings
from presence_server.web import logs
logs.configure(sys.argv[1], sys.argv[2])
logging.getLogger("presence_server.web").info("hello %s", "ana")
logging.getLogger("uvicorn.error").info("chatter")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("presence_server.live").exception("broken")
warnings.warn("careful")
"""


def run(level: str, log_format: str) -> list[str]:
    command = [sys.executable, "-W", "default", "-c", LOG_SOMETHING, level, log_format]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.fixture
def levels() -> Iterator[None]:
    """Puts back what `configure` changes for the whole process."""
    root, names = logging.getLogger(), ("asyncio", "uvicorn", "httpx")
    before = [(logger, logger.level) for logger in (root, *map(logging.getLogger, names))]
    handlers, show = root.handlers[:], warnings.showwarning
    yield
    root.handlers[:], warnings.showwarning = handlers, show
    logging.captureWarnings(False)
    for logger, level in before:
        logger.setLevel(level)


def test_text_has_the_time_in_utc_the_level_and_the_logger() -> None:
    first = run("info", "text")[0]
    match = re.fullmatch(r"(\S+Z) INFO presence_server\.web: hello ana", first)
    assert match
    assert abs((datetime.now(UTC) - datetime.fromisoformat(match[1])).total_seconds()) < 60


def test_json_is_one_object_a_line() -> None:
    lines = [json.loads(line) for line in run("info", "json")]
    assert [(line["level"], line["logger"]) for line in lines] == [
        ("info", "presence_server.web"),
        ("error", "presence_server.live"),
        ("warning", "py.warnings"),
    ]
    assert lines[0].keys() == {"time", "level", "logger", "message"}
    assert lines[0]["message"] == "hello ana"
    assert lines[1]["message"] == "broken"
    assert lines[1]["exception"].endswith("ZeroDivisionError: division by zero")
    assert "careful" in lines[2]["message"]


def test_of_several_processes_each_line_names_its_own() -> None:
    record = logging.makeLogRecord({"name": "presence_server.web", "levelname": "INFO", "msg": "hello"})
    assert logs.TextFormatter(3).format(record).partition("Z ")[2] == "INFO [worker 3] presence_server.web: hello"
    assert json.loads(logs.JsonFormatter(3).format(record))["worker"] == 3


def test_the_level_holds() -> None:
    assert [json.loads(line)["level"] for line in run("error", "json")] == ["error"]


@pytest.mark.parametrize(
    ("level", "heard"), [("debug", logging.DEBUG), ("info", logging.WARNING), ("critical", logging.CRITICAL)]
)
@pytest.mark.usefixtures("levels")
def test_libraries_are_heard_when_debugging_only(level: str, heard: int) -> None:
    logs.configure(level, "text")
    assert logging.getLogger("uvicorn.error").getEffectiveLevel() == heard
    assert logging.getLogger("presence_server.web").getEffectiveLevel() == getattr(logging, level.upper())
