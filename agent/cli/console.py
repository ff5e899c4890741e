"""The output of ordainctl: tables, problems, JSON. Terminals get colours and lines that are wrapped at words.

Control characters from documents never reach a terminal. Output that is not a terminal is never wrapped or cut, so
that scripts and `grep` find whole lines.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

from ordain.transforms.control_characters import IN_TEXT, JSON_ESCAPES
from ordain.transforms.errors import Problem, Severity, sorted_problems


class Style(StrEnum):
    """SGR parameters (ECMA-48)."""

    PLAIN = ""
    STRONG = "1"
    DIM = "2"
    GOOD = "32"
    WARN = "33"
    BAD = "1;31"


SEVERITIES = {Severity.ERROR: Style.BAD, Severity.BLOCKED: Style.WARN, Severity.WARNING: Style.WARN}
_NARROWEST = 24
"""A last column with less room than this is moved below its row."""
_INDENT = 4
"""The indentation of continued lines, in spaces."""
_GAP = "  "

Cell = str | tuple[str, Style]


def wants_colour(stream: TextIO) -> bool:
    """Tell whether ``stream`` is a terminal whose user has not turned colours off (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def terminal_columns(stream: TextIO | None) -> int:
    """Return the width of the terminal that ``stream`` is, 0 if it is not one; the variable COLUMNS overrides it.

    As `shutil.get_terminal_size`, whose import takes longer than the rest of `ordainctl --help`.
    """
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream else 0
    except (OSError, ValueError):
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The two streams of a command: ``out`` takes its result, ``err`` problems and progress.

    ``columns`` is the width of the terminal, at which lines are wrapped; 0: nothing is wrapped.
    """

    out: TextIO
    err: TextIO
    out_colour: bool = False
    err_colour: bool = False
    out_columns: int = 0
    err_columns: int = 0

    def line(self, text: str = "", style: Style = Style.PLAIN) -> None:
        """Print one line of the result; a terminal gets it wrapped, with the indentation of its beginning."""
        text = _visible(text) if self.out.isatty() else text
        indent = len(text) - len(text.lstrip())
        self._write(self.out, _wrapped(text, self.out_columns, indent + _INDENT), style, self.out_colour)

    def text(self, text: str) -> None:
        """Print text that ends in a newline, byte for byte, except for what would control a terminal."""
        self.out.write(_visible(text) if self.out.isatty() else text)

    def note(self, text: str, style: Style = Style.PLAIN) -> None:
        """Print a message beside the result."""
        for line in _visible(text).split("\n"):
            self._write(self.err, _wrapped(line, self.err_columns, _INDENT), style, self.err_colour)

    def asks(self, question: str) -> bool:
        """Ask a question on the terminal, and return whether the answer is yes; no, if there is no terminal."""
        if not (sys.stdin and sys.stdin.isatty() and self.err.isatty()):
            return False
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def reply(self, question: str) -> str:
        """Ask for a line on the terminal, and return it; "" if there is no terminal."""
        if not (sys.stdin and sys.stdin.isatty() and self.err.isatty()):
            return ""
        self.err.write(question)
        self.err.flush()
        return sys.stdin.readline().strip()

    def json(self, value: Any) -> None:
        """Print ``value``, sorted and indented, so that two runs can be compared."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
        self.out.write(f"{text.translate(JSON_ESCAPES)}\n")

    @contextmanager
    def progress(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show ``text`` and the time it has taken on a terminal, until the work is done.

        Yield a function that shows other words instead; where there is no terminal, it prints them.
        """
        if not self.err_colour:
            yield self.note
            return
        from rich.console import Console as Terminal
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
        with Progress(*columns, console=Terminal(file=self.err), transient=True) as progress:
            task = progress.add_task(text, total=None)
            yield lambda words: progress.update(task, description=_visible(words))

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Print aligned columns. The last one is not padded, and on a terminal it is wrapped within its column.

        A row is one line, whatever is in its cells: a machine must not be able to add a row by its name.
        """
        cells = [[(c, Style.PLAIN) if isinstance(c, str) else c for c in row] for row in rows]
        if not cells:
            return
        lines = [[(h, Style.STRONG) for h in header], *cells] if header else cells
        lines = [[(_visible(text).replace("\n", r"\x0a"), style) for text, style in line] for line in lines]
        widths = [max(len(line[i][0]) for line in lines) for i in range(len(lines[0]) - 1)]
        for line in lines:
            self._row(line, widths)

    def _row(self, cells: Sequence[tuple[str, Style]], widths: Sequence[int]) -> None:
        length = max((number for number, (text, _) in enumerate(cells, 1) if text), default=1)
        *padded, (text, style) = cells[:length]
        head = "".join(
            _styled(cell, of_cell, self.out_colour) + " " * (width - len(cell)) + _GAP
            for (cell, of_cell), width in zip(padded, widths, strict=False)
        )
        start = sum(widths[: len(padded)]) + len(_GAP) * len(padded)
        beside, *below = self._last_column(text, start) if length == len(cells) else [text]
        first = head + _styled(beside, style, self.out_colour) if beside else head.rstrip()
        self.out.write(f"{first}\n")
        indent = start if beside else _INDENT
        for line in below:
            self.out.write(f"{'':{indent}}{_styled(line, style, self.out_colour)}\n")

    def _last_column(self, text: str, start: int) -> list[str]:
        """Return the lines of a cell at column ``start``; the first one is "" if the row leaves it too little room."""
        if not self.out_columns or start + len(text) <= self.out_columns:
            return [text]
        room = self.out_columns - start
        longest_word = max(map(len, text.split()), default=0)
        if start <= _INDENT or (room >= _NARROWEST and longest_word <= room):
            return _split(text, room)
        return ["", *_split(text, self.out_columns - _INDENT)]

    def problems(self, problems: Iterable[Problem]) -> None:
        """Print problems sorted by place, and then their number."""
        ordered = sorted_problems(problems)
        for problem in ordered:
            severity = f"{problem.severity}:"
            styled = _styled(severity, SEVERITIES[problem.severity], self.err_colour)
            lines = _wrapped(_visible(str(problem)), self.err_columns, _INDENT)
            self.err.write("\n".join(lines).replace(severity, styled, 1) + "\n")
        if ordered:
            self.note(count(ordered))

    @staticmethod
    def _write(stream: TextIO, lines: Iterable[str], style: Style, colour: bool) -> None:
        for line in lines:
            stream.write(_styled(line, style, colour) + "\n")


def count(problems: Sequence[Problem]) -> str:
    """Return the number of problems of each severity: ``2 errors, 1 warning``."""
    words = {Severity.ERROR: "error", Severity.BLOCKED: "blocked item", Severity.WARNING: "warning"}
    numbers = {s: sum(p.severity is s for p in problems) for s in words}
    return ", ".join(plural(n, words[s]) for s, n in numbers.items() if n)


def plural(number: int, noun: str) -> str:
    """Return ``1 layer``, ``2 layers``.

    >>> plural(0, "layer")
    '0 layers'
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _wrapped(text: str, columns: int, indent: int) -> list[str]:
    """Return ``text`` in lines of at most ``columns`` characters; continued lines are indented."""
    if not columns or len(text) <= columns:
        return [text]
    first, *rest = _split(text, columns)
    return [first, *(f"{'':{indent}}{line}" for line in _split(" ".join(rest), columns - indent))] if rest else [first]


def _split(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` characters, split between words; a longer word stays whole."""
    wrapper = textwrap.TextWrapper(
        width=max(width, 1),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return wrapper.wrap(text) or [text]


def _visible(text: str) -> str:
    """Return ``text`` with its control characters in hexadecimal: a document cannot move the reader's cursor."""
    return text.translate(IN_TEXT)


def _styled(text: str, style: Style, colour: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if colour and style else text
