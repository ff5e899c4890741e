"""Reads os-release(5): lines ``NAME=value`` with shell quoting."""

from __future__ import annotations

from ordain.transforms.lazy_patterns import lazy_pattern

_LINE = lazy_pattern(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_PIECE = lazy_pattern(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)""")
_ESCAPE = lazy_pattern(r"""\\(["$`\\])""")


def parse(text: str) -> tuple[dict[str, str], tuple[tuple[int, str], ...]]:
    """Return the assignments of an os-release file, and the wrong lines as (line number, fault).

    Values are unquoted as a shell does it, but not expanded. Of two assignments of one name the last counts.

    >>> parse('ID=rocky\\nID_LIKE="rhel centos fedora"\\n')[0]
    {'ID': 'rocky', 'ID_LIKE': 'rhel centos fedora'}
    """
    values: dict[str, str] = {}
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        assignment = _LINE.fullmatch(line)
        if assignment is None:
            wrong.append((number, "not an assignment NAME=value"))
            continue
        value = unquote(assignment[2])
        if value is None:
            wrong.append((number, f"the quotes of {assignment[1]} are wrong"))
        else:
            values[assignment[1]] = value
    return values, tuple(wrong)


def unquote(text: str) -> str | None:
    """Return the value of one shell word without expansion, None if a quote is open or the word ends early.

    >>> unquote('"5 \\\\$ a"\\' b\\'')
    '5 $ a b'
    """
    value: list[str] = []
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            return None
        single, double, escaped, plain = piece.groups()
        value.append(_ESCAPE.sub(r"\1", double) if double is not None else single or escaped or plain or "")
        at = piece.end()
    return "".join(value)
