"""Unit files: text to assignments and back, exactly as systemd reads them.

`parse` follows ``config_parse()`` and ``parse_line()`` of systemd's src/shared/conf-parser.c and
``read_line_full()`` of src/basic/fileio.c; `write` renders `Setting` values, so that ``parse(write(x))`` gives them
back. A file of 0 bytes masks its unit: `is_masked`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BLANKS = " \t\n\r"
"""What systemd strips from keys and values; Python's ``str.strip()`` would take more."""

# One line end is one of \n \r NUL, or \n and \r together in any order, or those before a NUL.
_LINE_END = re.compile("(?:\n\r?|\r\n?)\0?|\0")
_NAME = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One assignment. ``value`` is text in systemd's syntax, as `encode` and `raw` give it.

    ``comment`` is printed above the assignment; it holds the provenance.
    """

    section: str
    key: str
    value: str
    comment: str = ""


def parse(text: str) -> tuple[tuple[str, str, str], ...]:
    """The assignments of a unit file in order, as (section, key, value); an empty value is kept: it resets.

    What systemd skips with a warning (no ``=``, no key, no section yet) is skipped. At a section header
    without its ``]`` systemd gives up the whole file; so reading stops there.

    >>> parse("[Service]\\nExecStart=/bin/a \\\\\\n  # a comment inside\\n  b\\rType = oneshot")
    (('Service', 'ExecStart', '/bin/a    b'), ('Service', 'Type', 'oneshot'))
    """
    found: list[tuple[str, str, str]] = []
    section = ""
    for _, line in logical_lines(text):
        if line.startswith("["):
            if not line.endswith("]") or len(line) < 2:
                break
            section = line[1:-1]
            continue
        key, equals, value = line.partition("=")
        key = key.strip(BLANKS)
        if section and equals and key:
            found.append((section, key, value.strip(BLANKS)))
    return tuple(found)


def is_masked(content: bytes) -> bool:
    """Whether a unit file with this content masks its unit."""
    return not content


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Stripped lines with continuations joined, without comments and blank lines, each with the number it begins at.

    >>> list(logical_lines("# one\\n[Unit]\\nAfter=a \\\\\\n b"))
    [(2, '[Unit]'), (3, 'After=a   b')]
    """
    pending = ""
    bom = "\ufeff"
    begin = 1
    for number, physical in enumerate(_LINE_END.split(text), 1):
        begin = begin if pending else number
        if physical.lstrip(BLANKS).startswith(("#", ";")):
            continue  # even between a line and its continuation
        if bom and physical.startswith(bom):
            physical, bom = physical.removeprefix(bom), ""  # one is skipped, on whatever line it is
        line = pending + physical
        if (len(line) - len(line.rstrip("\\"))) % 2:
            pending = line[:-1] + " "
            continue
        pending = ""
        if stripped := line.strip(BLANKS):
            yield begin, stripped
    if stripped := pending.strip(BLANKS):
        yield begin, stripped


def write(lines: Iterable[Setting], *, header: Iterable[str] = ()) -> str:
    """The text of a unit file or drop-in; ``header`` lines become comments at its top.

    Sections come as systemd's own files have them: Unit first, Install and X- last; within a section the
    order given is kept. Raises `ValueError` for what would change another line or nothing at all: these are
    errors of the caller, since `encode` refuses such values.
    """
    sections: dict[str, list[Setting]] = {}
    for line in lines:
        _check(line)
        sections.setdefault(line.section, []).append(line)
    if not sections:
        raise ValueError("a unit file without an assignment: if empty, it would mask the unit")
    blocks = ["".join(_comment(text) for text in header)]
    for section in sorted(sections, key=_section_rank):
        body = "".join(f"{_comment(x.comment)}{x.key}={x.value}\n" for x in sections[section])
        blocks.append(f"[{section}]\n{body}")
    return "\n".join(block for block in blocks if block)


def _check(line: Setting) -> None:
    if not _NAME.fullmatch(line.section) or not _NAME.fullmatch(line.key):
        raise ValueError(f"not a section and key: [{line.section}] {line.key}")
    value = line.value
    if _LINE_END.search(value) or value != value.strip(BLANKS) or (len(value) - len(value.rstrip("\\"))) % 2:
        raise ValueError(f"[{line.section}] {line.key}: not one line as it stands: {value!r}")


def _comment(text: str) -> str:
    """``text`` as a comment of one line; what could end a line is written as an escape."""
    if not text:
        return ""
    if text.isprintable():
        return f"# {text}\n"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"# {shown}\n"


def _section_rank(section: str) -> tuple[int, str]:
    if section.startswith("X-"):
        return 3, section
    return {"Unit": 0, "Install": 2}.get(section, 1), section
