"""Log lines of a service in the format that journald reads."""

from __future__ import annotations

import logging
import sys

from ordain.transforms.control_characters import visible

_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class OneLine(logging.Formatter):
    """One line for each message, whatever it quotes: servers, users and documents must not add lines of their own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.formatMessage`."""
        return visible(super().formatMessage(record))


class _WithLevel(OneLine):
    """Lines that start with their level (sd-daemon(3)); a traceback has several."""

    def format(self, record: logging.LogRecord) -> str:
        level = next((number for least, number in _LEVELS if record.levelno >= least), 7)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def log_to_journal() -> None:
    """Send all log messages from now on to standard error, which is the journal."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_WithLevel())
    logging.basicConfig(level=logging.INFO, handlers=[lines])
