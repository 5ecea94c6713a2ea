"""Logs as JSON lines: named fields only, control characters escaped, secrets taken out."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from headrace.platform.secrets import Scrubber

FIELDS = ("call", "backend", "cause", "detail")
"""What a record may carry besides its message. Nothing else leaves the process."""


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__()
        self.scrubber = scrubber

    def format(self, record: logging.LogRecord) -> str:
        scrub = self.scrubber.scrub  # before it is JSON, in which a secret may be written otherwise
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": record.name,
            "event": scrub(record.getMessage()),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = scrub(str(value))
        if record.exc_info:
            line["exception"] = scrub(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


def log_to_stderr(level: str = "INFO") -> JsonLines:
    """Sends the process's logs to standard error; the formatter's `scrubber` may be replaced when
    secrets are known."""
    formatter = JsonLines(Scrubber())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It tells of every change in a folder, also of those that do not concern us.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    return formatter
