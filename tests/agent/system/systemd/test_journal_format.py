"""A text of somebody else does not become a line of the log."""

from __future__ import annotations

import logging
import sys

import pytest

from ordain.agent.system.systemd.journal_format import OneLine, _WithLevel

FORGED = "no\n<3>forged\r\x1b[2J\u2028\x85more"


def record(*, with_error: bool = False) -> logging.LogRecord:
    error = None
    if with_error:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            error = sys.exc_info()
    return logging.LogRecord("x", logging.WARNING, __file__, 1, "the server says %s", (FORGED,), error)


@pytest.mark.parametrize("formatter", [OneLine("%(message)s"), _WithLevel()])
def test_a_message_is_one_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record())

    assert line.isprintable()
    assert line.endswith(r"the server says no\x0a<3>forged\x0d\x1b[2J\u2028\x85more")


def test_a_traceback_has_a_level_in_each_of_its_lines() -> None:
    lines = _WithLevel().format(record(with_error=True)).split("\n")

    assert len(lines) > 3
    assert all(line.startswith("<4>") for line in lines)
