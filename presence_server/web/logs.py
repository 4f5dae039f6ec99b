"""The log: one line a message on standard error, as text for people or as JSON for collectors."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson


class TextFormatter(logging.Formatter):
    """`2026-11-23T06:20:00.123Z INFO presence_server.web.server: Listening on …`, by UTC.

    Args:
        worker: which one of several processes this is; None where there is only one.
    """

    def __init__(self, worker: int | None = None) -> None:
        which = "" if worker is None else f" [worker {worker}]"
        super().__init__(f"%(asctime)s %(levelname)s{which} %(name)s: %(message)s")
        self._worker = {} if worker is None else {"worker": worker}

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(TextFormatter):
    """One object a line: `time`, `level`, `logger`, `message` and, where there is one, `worker` and `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | self._worker
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def configure(level: str, log_format: str, *, worker: int | None = None) -> None:
    """Set up logging for this process.

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`.
        log_format: `text` or `json`.
        worker: which one of several processes this is.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(worker) if log_format == "json" else TextFormatter(worker))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    # What they say at "info" is about their own steps, which ours tell better.
    for chatty in ("asyncio", "uvicorn", "httpx"):
        logging.getLogger(chatty).setLevel(level.upper() if level == "debug" else max(logging.WARNING, _number(level)))


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]
