"""Errors of the YAML parser in the words of somebody who writes a document: the fault in the line, and the remedy.

libyaml names the rule of its grammar that failed, at the place where it noticed. Most such errors are a tab, a wrong
indentation, or a text that needs quotes, and these can be seen in the lines themselves.
"""

from __future__ import annotations

from ordain.transforms.lazy_patterns import lazy_pattern

TAB_HINT = "YAML is indented with spaces: replace each tab by spaces"
_KEY = lazy_pattern(r"\s*(?:- +)*[^\s#'\"{\[][^#]*?:(?:\s|$)")


def explain(problem: str, context: str, lines: list[str], line: int, column: int, begin: int) -> tuple[str, str]:
    """Return the fault and the remedy of an error of libyaml.

    ``line`` and ``column`` are the place of the error, ``begin`` the line where the enclosing map, list or text begins;
    all count from 0.
    """
    here = lines[line] if line < len(lines) else ""
    before = here[: column + 1]
    if "\t" in _indentation(here) or "\\t" in problem or before.endswith("\t") or before.strip() == "\t":
        return "a tab in the indentation", TAB_HINT
    if "mapping values are not allowed" in problem:
        return _second_value(problem, context, lines, line, column)
    if "block mapping" in context or "block collection" in context:
        return _uneven(problem, context, lines, line, begin)
    if "flow mapping" in context or "flow sequence" in context:
        bracket = "{ … }" if "mapping" in context else "[ … ]"
        what = f"the {bracket} that begins in line {begin + 1} is not closed, or lacks a comma"
        return (
            what,
            "write a comma between entries, and quotes around a text that holds ': ', ' #', a comma or a bracket",
        )
    if "quoted scalar" in context and "found unexpected" in problem:  # the end of the stream or of the document
        return f"the quotes that begin in line {begin + 1} are not closed", "add the closing quotes"
    if "could not find expected ':'" in problem:
        what = f"line {begin + 1} is not `key: value`"
        return what, "write a colon and a space after the key, or indent the line below the text that it continues"
    if "cannot start any token" in problem:
        return f"a value cannot begin with {here[column : column + 1]!r}", "write the value in quotes"
    if "alias" in context or "anchor" in context:
        return f"{problem} {context}".strip(), "write a value that begins with * or & in quotes"
    return f"{problem} {context}".strip(), ""


def _second_value(problem: str, context: str, lines: list[str], line: int, column: int) -> tuple[str, str]:
    """Explain a second colon: a line that is indented too deep, a key without a colon, a text that needs quotes."""
    above = next((number for number in range(line - 1, -1, -1) if lines[number].strip()), None)
    first_colon = line < len(lines) and _KEY.fullmatch(f"{lines[line][: column + 1]} ") is not None
    if above is not None and first_colon:
        deep, wanted = (len(_indentation(lines[number])) for number in (line, above))
        key = lines[above].strip().removeprefix("- ")
        if deep > wanted and _KEY.match(lines[above]) is None:
            return f"line {above + 1} is a key without a colon, or a text that goes on here", f"write {key[:40]}:"
        if deep > wanted:
            what = f"indented with {_spaces(deep)}, deeper than line {above + 1}, which has a value already"
            return what, f"indent it with {_spaces(wanted)}, as line {above + 1}; or quote a text that holds ': '"
    return f"{problem} {context}".strip(), "write a text that holds ': ' in quotes"


def _uneven(problem: str, context: str, lines: list[str], line: int, begin: int) -> tuple[str, str]:
    """Explain a line that is neither in the map or list around it nor in one further out."""
    here = lines[line] if line < len(lines) else ""
    deep = len(_indentation(here))
    levels = _levels_above(lines, line)
    if here.strip() and deep not in levels:
        less = max((level for level in levels if level < deep), default=None)
        more = min((level for level in levels if level > deep), default=None)
        near = [f"{_spaces(level)}, as line {levels[level] + 1}" for level in (more, less) if level is not None]
        return f"indented with {_spaces(deep)}, as no line above is", f"indent it with {', or with '.join(near)}"
    if "block mapping" in context and here.lstrip().startswith("- "):
        hint = "a map has keys only; indent the list below its key"
        return f"an entry of a list in the map that begins in line {begin + 1}", hint
    if "block collection" in context:
        return f"not an entry of the list that begins in line {begin + 1}", "begin it with `- `, or indent it otherwise"
    return f"not an entry of the map that begins in line {begin + 1}", "write `key: value`"


def _levels_above(lines: list[str], line: int) -> dict[int, int]:
    """Return the indentations that the lines above ``line`` have still open, each with its last line."""
    levels: dict[int, int] = {}
    for number, text in enumerate(lines[:line]):
        if text.strip() and not text.lstrip().startswith("#"):
            deep = len(_indentation(text))
            levels = {level: at for level, at in levels.items() if level < deep} | {deep: number}
    return levels


def _spaces(number: int) -> str:
    return f"{number} space{'' if number == 1 else 's'}"


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
