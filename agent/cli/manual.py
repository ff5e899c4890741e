"""The manual page ordainctl(1), made from the table of commands: `python3 -m ordain.agent.cli.manual`.

Its output is docs/man/ordainctl.1.rst, in reStructuredText for rst2man; a test compares the two.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator

from ordain.agent.cli.command import MEANINGS, Argument, Command
from ordain.agent.cli.commands import COMMANDS, GROUPS
from ordain.agent.cli.parse import VERSION, words_of_usage

_HEAD = f"""\
.. Made by `python3 -m ordain.agent.cli.manual`: do not edit.

=========
ordainctl
=========

-----------------------------------------------------------
control Ordain: check, preview, apply and explain documents
-----------------------------------------------------------

:Manual section: 1
:Manual group: Ordain {VERSION}

.. raw:: manpage

   .nh

SYNOPSIS
========

**ordainctl** *COMMAND* [*ARGUMENT*...]

**ordainctl** [*COMMAND*] **--help**

**ordainctl --version**

DESCRIPTION
===========

Ordain turns configuration documents into systemd units and keeps the machine as they say; see
**ordain**\\(7). **ordainctl** checks and renders documents on any machine, and on a machine that runs
Ordain it shows what is, what would change and why, and changes it.

Commands that read need no agent: they look at the files below */etc/ordain* and */var/lib/ordain* and ask
systemd. Commands that change something go through **ordain-agent**\\(8); where that does not run,
**ordainctl** does the same work itself.

Results go to standard output, problems and progress to standard error. A problem is one line:
*file:line:column: severity: pointer: what is wrong (what to do) [Code]*. All problems are printed at once,
by place, and then counted. An **error** refuses all the documents; a **blocked** item keeps its last good
form while the rest is done; a **warning** refuses nothing.

Options and operands may stand in any order. An option may not be shortened.
"""
_TAIL = """\
ENVIRONMENT
===========

**NO_COLOR**
    Not empty: no colour. There is none either where the output is not a terminal.

FILES
=====

*/etc/ordain/documents/*
    The documents of this machine, where no other source is set in */etc/ordain/agent.yaml*.

*/etc/ordain/transforms/*
    What the administrator adds to the transformation database in */usr/share/ordain/transforms/*.

*/var/lib/ordain/generations/*
    Every generation that was applied.

SEE ALSO
========

**ordain**\\(7), **ordain-document**\\(5), **ordain-agent**\\(8), **ordain-generator**\\(8), **systemctl**\\(1)
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_commands(), *_statuses(), _TAIL])


def _commands() -> Iterator[str]:
    for group in GROUPS:
        title = group.upper()
        yield f"{title}\n{'=' * len(title)}\n"
        for command in COMMANDS.values():
            if command.group == group:
                yield from _command(command)


def _command(command: Command) -> Iterator[str]:
    yield f"{command.name}\n{'-' * len(command.name)}\n"
    yield f"**ordainctl {command.name}** {' '.join(map(_usage_word, words_of_usage(command)))}".rstrip() + "\n"
    yield f"{command.purpose[0].upper()}{command.purpose[1:]}.\n"
    if command.text:
        yield f"{marked(command.text)}\n"
    for argument in command.arguments:
        yield f"{_term(argument)}\n    {marked(argument.help[0].upper() + argument.help[1:])}.\n"
    yield "Examples::\n"
    for words, note in command.examples:
        yield f"    {words}" + (f"    # {note}" if note else "")
    yield f"\nExit status: {', '.join(str(int(status)) for status in command.statuses)}.\n"


def _statuses() -> Iterable[str]:
    yield "EXIT STATUS\n===========\n"
    for status, meaning in MEANINGS.items():
        yield f"**{int(status)}**\n    {meaning[0].upper()}{meaning[1:]}.\n"


def _term(argument: Argument) -> str:
    if not argument.flag:
        return f"*{argument.metavar}*"
    return f"**{argument.flag}**" + (f" *{argument.metavar}*" if argument.metavar else "")


def _usage_word(word: str) -> str:
    """``[--os ID-VERSION]`` with the option in bold and what it takes in italics."""
    word = word.replace("…", "...")
    word = re.sub(r"--[a-z-]+", lambda m: f"**{m[0]}**", word)
    return re.sub(r"(?<![a-z*-])[A-Z][A-Z=-]*(?![a-z*])", lambda m: f"*{m[0]}*", word)


def marked(text: str) -> str:
    """Return a text of a table as reStructuredText: `words to type` and references to manual pages in bold."""
    escaped = text.replace("\\", "\\\\").replace("*", "\\*")
    bold = re.sub(r"`([^`]+)`", r"**\1**", escaped)
    return re.sub(r"(?<![*\w.-])(ordain[a-z.-]*)\((\d)\)", r"**\1**\\(\2)", bold)


if __name__ == "__main__":
    sys.stdout.write(page())
