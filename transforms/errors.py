"""The problems of documents, as values.

A check returns `Problem` values and continues; the caller sorts and shows all of them at once. `Refused` is the one
exception: it carries the problems out of a call that cannot return a result.

    Problem.severity
    ├── error     a document is wrong: the whole set is refused, last good stays   (docs/design/documents.md, rule 3)
    ├── blocked   this machine cannot have one item: it keeps its last good form   (docs/design/documents.md, rule 3)
    └── warning   nothing is refused
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ordain.transforms.control_characters import visible


class Severity(StrEnum):
    """The extent of a problem."""

    ERROR = "error"
    BLOCKED = "blocked"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Where:
    """A place in a document.

    ``line`` and ``column`` count from 1; 0 means unknown. ``pointer`` is an RFC 6901 pointer without its first slash
    (``services/ssh/limits/memory``), as the command line takes it.
    """

    path: str = ""
    line: int = 0
    column: int = 0
    pointer: str = ""

    def __str__(self) -> str:
        """Return ``file:line:column`` without the unknown parts."""
        parts = [self.path or "-"]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


NOWHERE = Where()
SHOWN_WORDS = 20
"""The most words of a list of any length that a problem shows."""
MAX_COMPARED = 400_000
"""The longest comparison for a hint, in pairs of characters, 15 ms at worst; each known name counts as 200 more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem: its place, the fault and the remedy.

    ``code`` is a stable CamelCase name (``Schema``, ``LayerConflict``, ``NotInstalled``, …).
    ``item`` names the item a ``blocked`` problem blocks (``services/web``, ``units/foo.path``).
    ``subject`` is the file, unit or key that the problem is about, for programs: they must not parse ``what``.
    """

    where: Where
    what: str
    hint: str = ""
    code: str = "Schema"
    severity: Severity = Severity.ERROR
    item: str = ""
    subject: str = ""

    def __str__(self) -> str:
        pointer = f"{visible(self.where.pointer)}: " if self.where.pointer else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{visible(str(self.where))}: {self.severity}: {pointer}{self.what}{hint} [{self.code}]"

    def to_json(self) -> dict[str, object]:
        """Return the problem as ``--json`` prints it."""
        return {
            "severity": str(self.severity),
            "code": self.code,
            "path": self.where.path,
            "line": self.where.line,
            "column": self.where.column,
            "pointer": self.where.pointer,
            "what": self.what,
            "hint": self.hint,
            "item": self.item,
        }


def blocked(item: str, where: Where, what: str, hint: str = "", code: str = "Item") -> Problem:
    """Return the problem that this machine cannot have ``item``."""
    return Problem(where=where, what=what, hint=hint, code=code, severity=Severity.BLOCKED, item=item)


def warning(item: str, where: Where, what: str, hint: str = "", code: str = "Item") -> Problem:
    """Return a problem with ``item`` that refuses nothing."""
    return Problem(where=where, what=what, hint=hint, code=code, severity=Severity.WARNING, item=item)


def is_blocked(problems: Iterable[Problem]) -> bool:
    """Return whether any of the problems with an item is more than a warning."""
    return any(problem.severity is not Severity.WARNING for problem in problems)


class Refused(Exception):
    """A call cannot return a result because of its ``problems``."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted_problems(problems)
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[Refused], tuple[tuple[Problem, ...]]]:
        """Keep the problems when the exception is sent to another process."""
        return Refused, (self.problems,)


def sorted_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems sorted by place, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.where, p.severity, p.code, p.what)))


def only_errors(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems that refuse the whole set of documents."""
    return tuple(p for p in problems if p.severity is Severity.ERROR)


def first_few(words: Sequence[str], kind: str) -> list[str]:
    """Return the first `SHOWN_WORDS` of ``words``, then the number of the others, which are of a ``kind``.

    Each member of a large circle has a problem that names the circle: all names would be a text of hundreds of MB.

    >>> first_few(["a", "b"], "units"), first_few([str(n) for n in range(5000)], "units")[-2:]
    (['a', 'b'], ['19', '4980 more units'])
    """
    more = len(words) - SHOWN_WORDS
    return [*words[:SHOWN_WORDS], *([f"{more} more {kind}"] if more > 0 else [])]


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a hint with the known names that look like ``name``, or an empty text; ``cutoff``: see `difflib`.

    There is no hint where the comparison is longer than `MAX_COMPARED`: with as many unknown names as known ones, the
    hints alone would take minutes.

    >>> did_you_mean("restrat", ["restart", "user"])
    'did you mean restart?'
    """
    names = set(known)
    if len(name) * sum(map(len, names)) + 200 * len(names) > MAX_COMPARED:
        return ""
    import difflib  # which a compile without a wrong name does without

    close = difflib.get_close_matches(name, sorted(names), n=3, cutoff=cutoff)
    return f"did you mean {' or '.join(close)}?" if close else ""
