"""Reads unit files into settings, exactly as systemd reads them, and writes settings as unit files.

`parse` follows ``config_parse()`` and ``parse_line()`` of systemd's src/shared/conf-parser.c and
``read_line_full()`` of src/basic/fileio.c. `write` makes a text from which `parse` reads the same settings again. An
empty file masks its unit: `is_masked`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ordain.transforms.lazy_patterns import lazy_pattern

BLANKS = " \t\n\r"
"""The characters that systemd strips from keys and values; Python's ``str.strip()`` would strip more."""

# One line end is one of \n \r NUL, or \n and \r together in any order, or those before a NUL.
_LINE_END = lazy_pattern("(?:\n\r?|\r\n?)\0?|\0")
_NAME = lazy_pattern(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One assignment of a unit file. ``value`` is text in systemd's syntax, as the functions of `encode` return it.

    ``comment`` is printed above the assignment and names its cause.
    """

    section: str
    key: str
    value: str
    comment: str = ""


class Skipped(StrEnum):
    """The reason why systemd skips a line with a warning."""

    OPEN_SECTION = "a section header without ]"  # systemd does not read the rest of the file either
    NO_ASSIGNMENT = "not an assignment"
    NO_SECTION = "an assignment above the first section"


def read_lines(text: str) -> Iterator[tuple[int, tuple[str, str, str] | Skipped, str]]:
    """Yield number, assignment or the reason why systemd skips it, and text of each line but the section headers.

    An assignment is (section, key, value); an empty value is one too, because it resets the key.
    """
    section = ""
    for number, line in logical_lines(text):
        if line.startswith("["):
            if not line.endswith("]") or len(line) < 2:
                yield number, Skipped.OPEN_SECTION, line
                return
            section = line[1:-1]
            continue
        key, equals, value = line.partition("=")
        key = key.strip(BLANKS)
        if not equals or not key:
            yield number, Skipped.NO_ASSIGNMENT, line
        elif not section:
            yield number, Skipped.NO_SECTION, line
        else:
            yield number, (section, key, value.strip(BLANKS)), line


def parse(text: str) -> tuple[tuple[str, str, str], ...]:
    """Return the assignments of a unit file, without the lines that systemd skips.

    >>> parse("[Service]\\nExecStart=/bin/a \\\\\\n  # a comment inside\\n  b\\rType = oneshot")
    (('Service', 'ExecStart', '/bin/a    b'), ('Service', 'Type', 'oneshot'))
    """
    return tuple(assignment for _, assignment, _ in read_lines(text) if not isinstance(assignment, Skipped))


def is_masked(content: bytes) -> bool:
    """Return whether a unit file with this content masks its unit."""
    return not content


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines, stripped and with continuations joined, each with the number of its first line.

    Comments and blank lines are left out.

    >>> list(logical_lines("# one\\n[Unit]\\nAfter=a \\\\\\n b"))
    [(2, '[Unit]'), (3, 'After=a   b')]
    """
    pending = ""
    bom = "\ufeff"
    begin = 1
    for number, physical in enumerate(_LINE_END.split(text), 1):
        begin = begin if pending else number
        start = physical.lstrip(BLANKS)
        if not start and not pending:
            continue
        if start.startswith(("#", ";")):
            continue  # systemd skips a comment even between a line and its continuation
        if bom and physical.startswith(bom):
            physical, bom = physical.removeprefix(bom), ""  # systemd skips one, on any line
        line = pending + physical
        if line.endswith("\\") and (len(line) - len(line.rstrip("\\"))) % 2:
            pending = line[:-1] + " "
            continue
        pending = ""
        if stripped := line.strip(BLANKS):
            yield begin, stripped
    if stripped := pending.strip(BLANKS):
        yield begin, stripped


def write(settings: Iterable[Setting], *, header: Iterable[str] = ()) -> str:
    """Return the text of a unit file or drop-in; ``header`` lines become comments at its top.

    Sections are in the order of systemd's own files: Unit first, Install and X- last. Within a section the given order
    is kept. Raises `ValueError` if there are no settings, or if one would change another line: that is a mistake of the
    caller, since `encode` refuses such values.
    """
    sections: dict[str, list[Setting]] = {}
    for setting in settings:
        _check(setting)
        sections.setdefault(setting.section, []).append(setting)
    if not sections:
        raise ValueError("a unit file without a setting: an empty file would mask the unit")
    blocks = ["".join(_comment(text) for text in header)]
    for section in sorted(sections, key=_section_rank):
        body = "".join(f"{_comment(setting.comment)}{setting.key}={setting.value}\n" for setting in sections[section])
        blocks.append(f"[{section}]\n{body}")
    return "\n".join(block for block in blocks if block)


def _check(setting: Setting) -> None:
    if not _NAME.fullmatch(setting.section) or not _NAME.fullmatch(setting.key):
        raise ValueError(f"not a section and a key: [{setting.section}] {setting.key}")
    value = setting.value
    if _LINE_END.search(value) or value != value.strip(BLANKS) or (len(value) - len(value.rstrip("\\"))) % 2:
        raise ValueError(f"[{setting.section}] {setting.key}: not exactly one line: {value!r}")


def _comment(text: str) -> str:
    """Return ``text`` as a comment of one line; characters that could end the line are written as escapes."""
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
