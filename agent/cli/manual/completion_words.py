"""The words that the completions of all shells offer, from the table of commands and the transformation database."""

from __future__ import annotations

from dataclasses import dataclass

from ordain.agent.cli.commands.all_commands import COMMANDS, FAMILIES
from ordain.agent.cli.commands.subcommand import Argument, Completion
from ordain.transforms.catalog.known_systems import known_systems

COMMAND_OPTIONS = {"--help": "show the overview of all commands", "--version": "print the version"}
"""The options in place of a command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedWords:
    """Words that a command lists on this machine: those in a column of lines that begin with ``start`` (a glob)."""

    command: str
    start: str
    column: int = 1


LISTINGS = {
    Completion.UNITS: ListedWords(command="status", start="*.*"),
    Completion.GENERATIONS: ListedWords(command="history", start="[0-9]*"),
    Completion.DOCUMENTS: ListedWords(command="documents list", start="[A-Z][a-z]*", column=2),
}
"""By kind of completion, the command that lists the words. It asks for no password, because it has no terminal."""


def first_words() -> dict[str, str]:
    """Return the first word of each command with its purpose; commands of two words share that of their family."""
    words = {}
    for name, command in COMMANDS.items():
        first, _, second = name.partition(" ")
        words[first] = FAMILIES[first].purpose if second else command.purpose
    return words


def second_words(family: str) -> dict[str, str]:
    """Return the second words of the commands of a family, each with its purpose."""
    return {
        name.partition(" ")[2]: command.purpose for name, command in COMMANDS.items() if name.startswith(f"{family} ")
    }


def closed_words(argument: Argument) -> tuple[str, ...]:
    """Return the words that an argument can have, () if they are not known beforehand."""
    return argument.choices or (tuple(known_systems()) if argument.completion is Completion.SYSTEMS else ())
