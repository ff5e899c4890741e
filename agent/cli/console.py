"""What ordainctl prints: tables, problems, JSON. Colour only on a terminal, escapes from documents never."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

from ordain.transforms.errors import Problem, Severity, in_order


class Style(StrEnum):
    """SGR parameters (ECMA-48)."""

    PLAIN = ""
    STRONG = "1"
    DIM = "2"
    GOOD = "32"
    WARN = "33"
    BAD = "1;31"


SEVERITIES = {Severity.ERROR: Style.BAD, Severity.BLOCKED: Style.WARN, Severity.WARNING: Style.WARN}
_CONTROLS = {n: f"\\x{n:02x}" for n in (*range(32), *range(127, 160)) if chr(n) not in "\n\t"}

Cell = str | tuple[str, Style]


def wants_colour(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal and its user has not said no (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """Where a command prints. ``out`` takes its result, ``err`` problems and progress."""

    out: TextIO
    err: TextIO
    out_colour: bool = False
    err_colour: bool = False

    def line(self, text: str = "", style: Style = Style.PLAIN) -> None:
        """Print one line of the result."""
        self.out.write(_styled(_visible(text) if self.out.isatty() else text, style, self.out_colour) + "\n")

    def text(self, text: str) -> None:
        """Print text that ends in a newline, byte for byte unless a terminal would act on it."""
        self.out.write(_visible(text) if self.out.isatty() else text)

    def note(self, text: str, style: Style = Style.PLAIN) -> None:
        """Print one line beside the result."""
        self.err.write(_styled(_visible(text), style, self.err_colour) + "\n")

    def json(self, value: Any) -> None:
        """Print ``value``, sorted and indented, so that two runs can be compared."""
        json.dump(value, self.out, indent=2, sort_keys=True, ensure_ascii=False)
        self.out.write("\n")

    @contextmanager
    def progress(self, text: str) -> Iterator[None]:
        """Say on a terminal that something goes on, and for how long, until it is over."""
        if not self.err_colour:
            yield
            return
        from rich.console import Console as Terminal
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        with Progress(*columns, console=Terminal(file=self.err), transient=True) as progress:
            progress.add_task(text, total=None)
            yield

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Print aligned columns; the last one is never padded, and nothing is ever cut or wrapped."""
        cells = [[(c, Style.PLAIN) if isinstance(c, str) else c for c in row] for row in rows]
        lines = [[(h, Style.STRONG) for h in header], *cells] if header else cells
        if not cells:
            return
        widths = [max(len(_visible(line[i][0])) for line in lines) for i in range(len(lines[0]) - 1)]
        for line in lines:
            texts = [_visible(text) for text, _ in line]
            padding = [" " * (w - len(t)) for w, t in zip(widths, texts, strict=False)] + [""]
            while len(texts) > 1 and not texts[-1]:
                texts.pop()
                padding[len(texts) - 1] = ""
            parts = [
                _styled(t, style, self.out_colour) + pad
                for t, (_, style), pad in zip(texts, line, padding, strict=False)
            ]
            self.out.write("  ".join(parts) + "\n")

    def problems(self, problems: Iterable[Problem]) -> None:
        """Print problems by place, then how many there are."""
        ordered = in_order(problems)
        for problem in ordered:
            severity = f"{problem.severity}:"
            self.err.write(
                _visible(str(problem)).replace(
                    severity, _styled(severity, SEVERITIES[problem.severity], self.err_colour), 1
                )
                + "\n"
            )
        if ordered:
            self.note(count(ordered))


def count(problems: Sequence[Problem]) -> str:
    """How many problems of each severity: ``2 errors, 1 warning``."""
    words = {Severity.ERROR: "error", Severity.BLOCKED: "blocked item", Severity.WARNING: "warning"}
    numbers = {s: sum(p.severity is s for p in problems) for s in words}
    return ", ".join(plural(n, words[s]) for s, n in numbers.items() if n)


def plural(number: int, noun: str) -> str:
    """``1 layer``, ``2 layers``.

    >>> plural(0, "layer")
    '0 layers'
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _visible(text: str) -> str:
    """``text`` with its control characters shown: a document cannot move the reader's cursor."""
    return text.translate(_CONTROLS)


def _styled(text: str, style: Style, colour: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if colour and style else text
