"""From words to a request: argparse parsers and help texts made from the table of commands."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Sequence
from typing import NoReturn

from ordain.agent.cli.command import MEANINGS, Argument, Command
from ordain.agent.cli.commands import COMMANDS, GROUPS
from ordain.agent.errors import OrdainError
from ordain.transforms.errors import near

VERSION = "0.1.0"
PURPOSE = "ordainctl: documents become systemd services, and stay so"


class Usage(OrdainError):
    """The words make no request; the message says why."""


class Help(OrdainError):
    """Help was asked for; the text is the message."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(message)


class _ShowHelp(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        raise Help(parser.format_help())


def parse(words: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """The command and its arguments. Raises `Usage` or `Help`."""
    if not words:
        raise Usage("a command is missing")
    if words[0] == "--version":
        raise Help(f"ordain {VERSION}\n")
    if words[0] in {"-h", "--help", "help"}:
        if words[0] == "help" and words[1:]:
            raise Help(parser(_command(words[1:])[0]).format_help())
        raise Help(overview())
    command, rest = _command(words)
    commanded = parser(command)
    request, unknown = commanded.parse_known_intermixed_args(rest)
    if unknown:
        flags = [a.flag for a in command.arguments if a.flag]
        hints = [h for word in unknown if (h := near(word.partition("=")[0], flags))]
        raise Usage(f"unknown argument: {' '.join(unknown)}" + (f" ({hints[0]})" if hints else ""))
    return command, request


def parser(command: Command) -> argparse.ArgumentParser:
    """The parser of one command; its ``format_help`` is the help."""
    made = _Parser(
        prog=f"ordainctl {command.name}",
        usage=_usage(command),
        description=_filled(_sentence(command.purpose), command.text),
        epilog=_epilog(command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    made.add_argument("-h", "--help", action=_ShowHelp, nargs=0, help="show this help")
    for argument in command.arguments:
        _add(made, argument)
    return made


def words_of_usage(command: Command) -> list[str]:
    """The arguments as usage shows them: options in brackets, operands last."""
    options = [a for a in command.arguments if a.flag]
    words = [f"[{o.flag}{f' {o.metavar}' if o.metavar else ''}]{'…' if o.many else ''}" for o in options]
    for operand in (a for a in command.arguments if not a.flag):
        shown = operand.metavar + ("…" if operand.many else "")
        words.append(shown if operand.required else f"[{shown}]")
    return words


def _usage(command: Command) -> str:
    lines = [f"ordainctl {command.name}"]
    indent = " " * len(f"usage: {lines[0]}")
    for word in words_of_usage(command):
        if len(lines[-1]) + len(word) + 1 > _columns() - len("usage: "):
            lines.append(indent)
        lines[-1] += f" {word}"
    return "\n".join(lines)


def overview() -> str:
    """What `ordainctl --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [PURPOSE, "", "usage: ordainctl COMMAND [ARGUMENT…]"]
    for group in GROUPS:
        lines += ["", f"{group}:"]
        lines += [f"  {c.name:{width}}  {c.purpose}" for c in COMMANDS.values() if c.group == group]
    lines += [
        "",
        "`ordainctl COMMAND --help` tells more. Exit statuses:",
        *(f"  {int(status)}  {meaning}" for status, meaning in MEANINGS.items()),
        "",
        "Manual: ordainctl(1), ordain(7), ordain-document(5)",
    ]
    return "\n".join(lines) + "\n"


def _command(words: Sequence[str]) -> tuple[Command, Sequence[str]]:
    """The command that ``words`` begin with, and the rest of them; its name may have two words."""
    name, *rest = words
    if name in COMMANDS:
        return COMMANDS[name], rest
    below = [known.partition(" ")[2] for known in COMMANDS if known.startswith(f"{name} ")]
    if not below:
        hint = near(name, {known.partition(" ")[0] for known in COMMANDS})
        raise Usage(f"there is no command {name!r}" + (f"; {hint}" if hint else ""))
    if rest and rest[0] in below:
        return COMMANDS[f"{name} {rest[0]}"], rest[1:]
    if not rest or rest[0] in {"-h", "--help"}:
        raise Help("".join(parser(COMMANDS[f"{name} {each}"]).format_usage() for each in below))
    hint = near(rest[0], below) or f"known: {', '.join(below)}"
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
            default=[] if argument.many else None,
            help=text,
        )


def _epilog(command: Command) -> str:
    lines = []
    if command.examples:
        width = max(len(words) for words, _ in command.examples)
        lines += ["examples:", *(f"  {w:{width}}  {note}".rstrip() for w, note in command.examples), ""]
    lines += ["exit status:", *(f"  {int(status)}  {MEANINGS[status]}" for status in command.statuses)]
    return "\n".join(lines)


def _columns() -> int:
    return max(40, min(100, shutil.get_terminal_size().columns))


def _filled(*paragraphs: str) -> str:
    return "\n\n".join(textwrap.fill(p, _columns(), break_long_words=False) for p in paragraphs if p)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
