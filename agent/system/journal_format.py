"""Log lines of a service as journald reads them."""

from __future__ import annotations

import logging
import sys

_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class _Kernel(logging.Formatter):
    """Lines with their level in front (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        level = next((number for least, number in _LEVELS if record.levelno >= least), 7)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def log_to_journal() -> None:
    """Send what is logged from now on to standard error, which is the journal."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_Kernel())
    logging.basicConfig(level=logging.INFO, handlers=[lines])
