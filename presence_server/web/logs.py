"""The log: one line a message on standard error, as text for people or as JSON for collectors."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson


class TextFormatter(logging.Formatter):
    """`2026-11-23T06:20:00.123Z INFO presence_server.web.server: Listening on …`, by UTC."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(TextFormatter):
    """One object a line: `time`, `level`, `logger`, `message` and, where there is one, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def configure(level: str, log_format: str) -> None:
    """Set up logging for this process.

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`.
        log_format: `text` or `json`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    # What they say at "info" is about their own steps, which ours tell better.
    for chatty in ("asyncio", "uvicorn", "httpx"):
        logging.getLogger(chatty).setLevel(level.upper() if level == "debug" else max(logging.WARNING, _number(level)))


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]
