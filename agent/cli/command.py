"""What a command of ordainctl is, as a value: the parser, the help, the completion and the tests read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Exit(IntEnum):
    """Exit statuses (docs/design/contract.md, rule 24)."""

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
    Exit.REFUSED: "refused or failed; nothing changed",
    Exit.USAGE: "wrong usage",
    Exit.DEGRADED: "done, but something is degraded",
    Exit.ROLLED_BACK: "failed and rolled back",
    Exit.INCOMPLETE: "failed, and the rollback is incomplete",
    Exit.BUSY: "another apply is running",
    Exit.CHANGES: "with --exit-code: there is something to do",
}


class Words(StrEnum):
    """What an argument is, for the shell's completion."""

    TEXT = "text"
    FILES = "files"
    DIRECTORIES = "directories"
    UNITS = "units"


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One option (``flag`` is set) or operand of a command.

    ``metavar`` is empty for an option without a value. ``many``: an option may be given again, an
    operand takes several words. ``choices`` close the set of values. ``into`` names the attribute of the
    request where the flag cannot.
    """

    help: str
    flag: str = ""
    metavar: str = ""
    many: bool = False
    required: bool = False
    choices: tuple[str, ...] = ()
    words: Words = Words.TEXT
    into: str = ""

    @property
    def dest(self) -> str:
        """The attribute of the parsed request."""
        return self.into or (self.flag.lstrip("-") or self.metavar).lower().replace("-", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: ``run`` is ``MODULE:FUNCTION`` of this package, imported when it is wanted."""

    name: str
    group: str
    purpose: str
    text: str
    run: str
    arguments: tuple[Argument, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    statuses: tuple[Exit, ...] = (Exit.OK, Exit.REFUSED, Exit.USAGE)
