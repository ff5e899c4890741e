"""The arguments of ordainctl, parsed: an argparse parser for each command, made from the table of commands."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from ordain.agent.cli.commands.all_commands import COMMANDS, FAMILIES
from ordain.agent.cli.commands.subcommand import Argument, Exit, Subcommand
from ordain.agent.cli.help_text import columns, description, epilog, family_help, overview, usage
from ordain.agent.errors import OrdainError
from ordain.transforms.errors import did_you_mean

VERSION = "0.1.0"


class Usage(OrdainError):
    """Arguments that do not form a request; the message names the error."""


class Help(OrdainError):
    """A help text to print instead of running a command, and the exit status."""

    def __init__(self, text: str, status: Exit = Exit.OK) -> None:
        super().__init__(text)
        self.status = status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(message)


class _ShowHelp(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        raise Help(parser.format_help())


def parse(words: Sequence[str]) -> tuple[Subcommand, argparse.Namespace]:
    """Return the command that ``words`` name, and its arguments. Raises `Usage` or `Help`."""
    if not words:
        raise Help(overview(), Exit.USAGE)
    if words[0] == "--version":
        raise Help(f"ordain {VERSION}\n")
    if words[0] in {"-h", "--help", "help"}:
        if words[0] == "help" and words[1:]:
            raise Help(_help_about(words[1:]))
        raise Help(overview())
    command, rest = _command(words)
    request, unknown = parser(command).parse_known_intermixed_args(rest)
    if unknown:
        flags = [argument.flag for argument in command.arguments if argument.flag]
        hints = [hint for word in unknown if (hint := did_you_mean(word.partition("=")[0], flags))]
        raise Usage(f"unknown argument: {' '.join(unknown)}" + (f" ({hints[0]})" if hints else ""))
    request.command_name = command.name
    return command, request


def _help_about(words: Sequence[str]) -> str:
    """Return the help of a command, or of a key of the documents. Raises `Usage`."""
    from ordain.agent.cli.key_help import key_help, near_keys

    if words[0] in COMMANDS or words[0] in FAMILIES:
        return parser(_command(words)[0]).format_help()
    if words[0] == "systems":
        from ordain.agent.cli.systems_help import systems_help

        return systems_help()
    if help_of_key := key_help(words[0]):
        return help_of_key
    hint = did_you_mean(words[0], {known.partition(" ")[0] for known in COMMANDS}) or near_keys(words[0])
    raise Usage(f"there is no command and no key {words[0]!r}" + (f"; {hint}" if hint else ""))


def parser(command: Subcommand) -> argparse.ArgumentParser:
    """Return the parser of one command; its ``format_help`` is the help."""
    made = _Parser(
        prog=f"ordainctl {command.name}",
        usage=usage(command),
        description=description(command),
        epilog=epilog(command),
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=columns()),
        allow_abbrev=False,
        add_help=False,
    )
    made.add_argument("-h", "--help", action=_ShowHelp, nargs=0, help="show this help")
    for argument in command.arguments:
        _add(made, argument)
    return made


def _command(words: Sequence[str]) -> tuple[Subcommand, Sequence[str]]:
    """Return the command that ``words`` begin with, and the remaining words. Raises `Usage` or `Help`."""
    name, *rest = words
    if name in COMMANDS:
        return COMMANDS[name], rest
    if name not in FAMILIES:
        hint = did_you_mean(name, {known.partition(" ")[0] for known in COMMANDS})
        raise Usage(f"there is no command {name!r}" + (f"; {hint}" if hint else ""))
    if not rest or rest[0] in {"-h", "--help"}:
        raise Help(family_help(FAMILIES[name]))
    if f"{name} {rest[0]}" in COMMANDS:
        return COMMANDS[f"{name} {rest[0]}"], rest[1:]
    second_words = [known.removeprefix(f"{name} ") for known in COMMANDS if known.startswith(f"{name} ")]
    hint = did_you_mean(rest[0], second_words) or f"known: {', '.join(second_words)}"
    raise Usage(f"there is no command {f'{name} {rest[0]}'!r}; {hint}")


def _add(made: argparse.ArgumentParser, argument: Argument) -> None:
    text = argument.help.replace("%", "%%")
    choices = argument.choices or None
    if not argument.flag:
        nargs = ("+" if argument.required else "*") if argument.many else (None if argument.required else "?")
        made.add_argument(argument.dest, metavar=argument.metavar, nargs=nargs, choices=choices, help=text)
    elif not argument.metavar:
        made.add_argument(argument.flag, dest=argument.dest, action="store_true", help=text)
    else:
        made.add_argument(
            argument.flag,
            dest=argument.dest,
            metavar=argument.metavar,
            action="append" if argument.many else "store",
            choices=choices,
            default=[] if argument.many else os.environ.get(argument.environment) or None,
            help=text,
        )
