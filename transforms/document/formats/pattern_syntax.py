"""The syntax of patterns in the rows for schedulers: a text with variables, and groups that may be left out.

--nodes={nodes}                        a variable
--time={time:%H:%M:%S}                 a variable in a form: a time, or a size in K, M, G, T (powers of 1024)
-l select={nodes}{?:mem={memory:M}mb}  a group, which is left out unless all its variables are set
{exclusive}-l place=excl               a flag: its text is empty, so it only decides whether the pattern is used
{{id}}                                 the text {id}: a doubled brace is a brace
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ordain.transforms.lazy_patterns import lazy_pattern


class BadPattern(ValueError):
    """A text is not a pattern; the message says why."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a pattern, and the form that its value takes, ``""`` for its own."""

    name: str
    form: str = ""


@dataclass(frozen=True, slots=True)
class OptionalGroup:
    """A part of a pattern that is left out unless all its variables are set."""

    parts: tuple[str | Variable | OptionalGroup, ...]


Parts = tuple[str | Variable | OptionalGroup, ...]
_VARIABLE = lazy_pattern(r"\{([a-z][a-z-]*)(?::([^{}]+))?\}")
_TEXT = lazy_pattern(r"[^{}]+")
MAX_LENGTH = 4096


@lru_cache(maxsize=1024)
def parse(text: str) -> Parts:
    """Return the parts of a pattern. Raises `BadPattern`.

    >>> parse("-n {tasks}{?:{time:%S}}")
    ('-n ', Variable(name='tasks', form=''), OptionalGroup(parts=(':', Variable(name='time', form='%S'))))
    """
    if len(text) > MAX_LENGTH:
        raise BadPattern(f"a pattern has at most {MAX_LENGTH} characters")
    parts, end = _parts(text, 0, inside=False)
    assert end == len(text)
    return parts


def names(parts: Parts) -> Iterator[str]:
    """Yield the variables of a pattern, also those in groups."""
    for part in parts:
        if isinstance(part, Variable):
            yield part.name
        elif isinstance(part, OptionalGroup):
            yield from names(part.parts)


def _parts(text: str, at: int, *, inside: bool) -> tuple[Parts, int]:
    """Return the parts from ``at`` to the end of the text or, ``inside`` a group, of the group, and that place."""
    parts: list[str | Variable | OptionalGroup] = []
    while at < len(text):
        if match := _TEXT.match(text, at) or _VARIABLE.match(text, at):
            parts.append(Variable(match[1], match[2] or "") if match.re.groups else match[0])
            at = match.end()
        elif text.startswith("{?", at):
            group, at = _parts(text, at + 2, inside=True)
            parts.append(OptionalGroup(group))
        elif inside and text[at] == "}":
            return tuple(parts), at + 1
        elif text[at : at + 2] in ("{{", "}}"):
            parts.append(text[at])
            at += 2
        elif text[at] == "{":
            raise BadPattern("a { does not begin a variable such as {nodes}; write {{ for a brace")
        else:
            raise BadPattern("a } has no {; write }} for a brace")
    if inside:
        raise BadPattern("a group {? has no end; add }")
    return tuple(parts), at
