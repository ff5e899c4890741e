"""The help texts of ordainctl: the overview, the list of a family of commands, the parts of a command's help."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator

from ordain.agent.cli.commands.all_commands import COMMANDS, FAMILIES, GROUPS
from ordain.agent.cli.commands.subcommand import MEANINGS, Family, Subcommand
from ordain.agent.cli.console import terminal_columns

PURPOSE = "ordainctl controls Ordain, which turns documents into systemd services."


def overview() -> str:
    """Return the output of `ordainctl --help`: a line for each command or family, grouped by task."""
    rows = {
        group: [
            *((c.name, c.purpose) for c in COMMANDS.values() if c.group == group),
            *((f"{f.name} …", f.purpose) for f in FAMILIES.values() if f.group == group),
        ]
        for group in GROUPS
    }
    width = max(len(name) for names in rows.values() for name, _ in names)
    lines = [PURPOSE, "", "usage: ordainctl COMMAND [ARGUMENT…]"]
    for group, listed in rows.items():
        lines += ["", f"{group}:", *aligned(listed, width)]
    lines += [
        "",
        textwrap.fill(f"`ordainctl NAME` lists the commands of {_listed([f'`{name} …`' for name in FAMILIES])}.", 80),
        "`ordainctl COMMAND --help` explains a command, `ordainctl help KEY` a key of a",
        "document, such as services.limits. Manual: ordainctl(1), ordain(7).",
    ]
    return "\n".join(lines) + "\n"


def family_help(family: Family) -> str:
    """Return the output of `ordainctl FAMILY`: a line for each of its commands."""
    members = [command for command in COMMANDS.values() if command.group == family.name]
    rows = [(command.name.partition(" ")[2], command.purpose) for command in members]
    width = max(len(name) for name, _ in rows)
    lines = [
        f"usage: ordainctl {family.name} COMMAND [ARGUMENT…]",
        "",
        _filled(_sentence(family.purpose), family.text),
        "",
        "commands:",
        *aligned(rows, width),
        "",
        f"`ordainctl {family.name} COMMAND --help` explains a command.",
    ]
    return "\n".join(lines) + "\n"


def usage(command: Subcommand) -> str:
    """Return the usage line of a command, wrapped between its arguments."""
    lines = [f"ordainctl {command.name}"]
    indent = " " * len(f"usage: {lines[0]}")
    for word in usage_words(command):
        if len(lines[-1]) + len(word) + 1 > columns() - (len("usage: ") if len(lines) == 1 else 0):
            lines.append(indent)
        lines[-1] += f" {word}"
    return "\n".join(lines)


def usage_words(command: Subcommand) -> list[str]:
    """Return the arguments as the usage line shows them: options in brackets, operands last."""
    options = [argument for argument in command.arguments if argument.flag]
    words = [f"[{o.flag}{f' {o.metavar}' if o.metavar else ''}]{'…' if o.many else ''}" for o in options]
    for operand in (argument for argument in command.arguments if not argument.flag):
        shown = operand.metavar + ("…" if operand.many else "")
        words.append(shown if operand.required else f"[{shown}]")
    return words


def description(command: Subcommand) -> str:
    """Return the purpose and the text of a command, wrapped."""
    return _filled(_sentence(command.purpose), command.text)


def epilog(command: Subcommand) -> str:
    """Return the examples and exit statuses of a command."""
    lines = ["examples:"]
    for words, note in command.examples:
        lines += [f"  # {note}", *_command_line(words)]
    lines += ["", "exit status:", *(f"  {int(status)}  {MEANINGS[status]}" for status in command.statuses)]
    return "\n".join(lines)


def columns() -> int:
    """Return the width of help texts: that of the terminal, within 40 to 100 characters; 80 without a terminal."""
    return max(40, min(100, terminal_columns(sys.stdout) or 80))


def _command_line(words: str) -> Iterator[str]:
    """Yield a command line, continued with backslashes, so that it can be copied."""
    lines = textwrap.wrap(words, columns() - 8, break_long_words=False, break_on_hyphens=False)
    *continued, last = lines
    for number, line in enumerate(continued):
        yield f"{_indent(number)}{line} \\"
    yield f"{_indent(len(continued))}{last}"


def _indent(number: int) -> str:
    return "      " if number else "  "


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def aligned(rows: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """Yield a line for each name and purpose; the purposes are aligned and, on a narrow terminal, wrapped."""
    room = columns() - width - 4
    for name, purpose in rows:
        first, *rest = textwrap.wrap(purpose, room, break_long_words=False) if len(purpose) > room else [purpose]
        yield f"  {name:{width}}  {first}"
        yield from (f"{'':{width + 4}}{line}" for line in rest)


def _filled(*paragraphs: str) -> str:
    return "\n\n".join(textwrap.fill(p, columns(), break_long_words=False) for p in paragraphs if p)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
