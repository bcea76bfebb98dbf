"""Log lines on stderr that journald and a person read well: one line each, message first, then key=value.

Under systemd (JOURNAL_STREAM) a line begins with its syslog priority `<N>` (sd-daemon(3)), which journald strips
and uses; it adds the time itself. Elsewhere a line begins with the UTC time and the level.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time

PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    def __init__(self, *, journald: bool) -> None:
        super().__init__()
        self.journald = journald

    def format(self, record: logging.LogRecord) -> str:
        fields = [f"{key}={_quote(value)}" for key, value in vars(record).items() if key not in _OWN]
        text = " ".join([record.getMessage().replace("\n", " | "), *fields])
        if record.exc_info and os.environ.get("SENTINEL_DEBUG"):
            text += " " + _quote(self.formatException(record.exc_info))
        if self.journald:
            return f"<{PRIORITIES.get(record.levelno, 6)}>{record.name}: {text}"
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return f"{moment} {record.levelname.lower():7} {record.name}: {text}"


def to_stderr(level: str = "INFO") -> None:
    """Send all logging to stderr; called once by each process that is a daemon."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(journald="JOURNAL_STREAM" in os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("apscheduler", "botocore", "boto3", "urllib3", "pyroute2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _quote(value: object) -> str:
    text = str(value)
    return (
        text
        if text and not any(c.isspace() or c in '"=' for c in text)
        else json.dumps(text, ensure_ascii=False)
    )
