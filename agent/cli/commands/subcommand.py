"""The types of the table of commands, which the parser, the help, the completion and the manual page read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Exit(IntEnum):
    """The exit statuses of ordainctl (docs/design/contract.md, rule 24)."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    DEGRADED = 3
    ROLLED_BACK = 4
    INCOMPLETE = 5
    BUSY = 6
    CHANGES = 7


MEANINGS = {
    Exit.OK: "done, or nothing to do",
    Exit.REFUSED: "refused or failed; nothing was changed",
    Exit.USAGE: "wrong usage",
    Exit.DEGRADED: "done, but something is degraded, or differs from the documents",
    Exit.ROLLED_BACK: "failed and rolled back",
    Exit.INCOMPLETE: "failed, and the rollback is incomplete",
    Exit.BUSY: "another apply is running",
    Exit.CHANGES: "with --exit-code: there are changes",
}


class Completion(StrEnum):
    """The kind of words that a shell offers for an argument."""

    TEXT = "text"
    FILES = "files"
    DIRECTORIES = "directories"
    UNITS = "units"  # of the documents
    GENERATIONS = "generations"  # of the history
    DOCUMENTS = "documents"  # of a store
    SYSTEMS = "systems"  # the operating systems of the transformation database


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One option (``flag`` is set) or operand of a command.

    ``metavar`` is empty for an option without a value. ``many``: an option may be repeated, an
    operand takes several words. ``choices`` closes the set of values. ``into`` names the attribute of the
    request if it cannot be named after the flag. ``environment`` is the variable that has the value of an option which
    is not given.
    """

    help: str
    flag: str = ""
    metavar: str = ""
    many: bool = False
    required: bool = False
    choices: tuple[str, ...] = ()
    completion: Completion = Completion.TEXT
    into: str = ""
    environment: str = ""

    @property
    def dest(self) -> str:
        """The attribute of the parsed request."""
        return self.into or (self.flag.lstrip("-") or self.metavar).lower().replace("-", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcommand:
    """One command of ordainctl, such as ``status`` or ``release create``.

    ``group`` is its heading in the overview or, for a command of two words, the first of them (a `Family`).
    ``purpose`` is one line, ``text`` a paragraph. ``run`` is ``MODULE:FUNCTION`` in this package; the module is
    imported only when the command runs. ``examples`` are pairs of a command line and a note.
    """

    name: str
    group: str
    purpose: str
    text: str
    run: str
    arguments: tuple[Argument, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    statuses: tuple[Exit, ...] = (Exit.OK, Exit.REFUSED, Exit.USAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The commands that share their first word; the overview has one line for all of them."""

    name: str
    group: str
    purpose: str
    text: str
