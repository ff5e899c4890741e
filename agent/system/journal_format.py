"""Log lines of a service in the format that journald reads."""

from __future__ import annotations

import logging
import sys

_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class _WithLevel(logging.Formatter):
    """Lines that start with their level (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        level = next((number for least, number in _LEVELS if record.levelno >= least), 7)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def log_to_journal() -> None:
    """Send all log messages from now on to standard error, which is the journal."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_WithLevel())
    logging.basicConfig(level=logging.INFO, handlers=[lines])
