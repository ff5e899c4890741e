"""The completion for zsh, generated from the table of commands: `python3 -m ordain.agent.cli.manual.zsh_completion`.

``_ordainctl`` beside this module is its output; packages install it in /usr/share/zsh/vendor-completions (zshcompsys(1)
describes the specifications of `_arguments`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from ordain.agent.cli.commands.all_commands import COMMANDS, FAMILIES
from ordain.agent.cli.commands.subcommand import Argument, Completion, Subcommand
from ordain.agent.cli.manual.completion_words import (
    COMMAND_OPTIONS,
    LISTINGS,
    closed_words,
    first_words,
    second_words,
)

_HEAD = """\
#compdef ordainctl
# zsh completion for ordainctl(1). Made by `python3 -m ordain.agent.cli.manual.zsh_completion`: do not edit.

# Offer words of lines that begin with the pattern START: _ordainctl_listed START COLUMN COMMAND...
_ordainctl_listed() {
    local start=$1 column=$2 line
    local -a listed
    for line in ${(f)"$(ordainctl "${@[3,-1]}" 2>/dev/null </dev/null)"}; do
        [[ ${line%% *} == ${~start} ]] && listed+=(${${=line}[column]})
    done
    compadd -- $listed
}

_ordainctl() {
    local -a commands
    if ((CURRENT == 2)); then
@COMMANDS@
        _describe -t commands command commands
        return
    fi
    local command=$words[2]
    shift words
    ((CURRENT--))
    case $command in
"""
_TAIL = """\
    esac
}

_ordainctl "$@"
"""
_ACTIONS = {
    Completion.TEXT: " ",
    Completion.FILES: "_files",
    Completion.DIRECTORIES: "_directories",
    **{
        kind: f"{{_ordainctl_listed '{listing.start}' {listing.column} {listing.command}}}"
        for kind, listing in LISTINGS.items()
    },
}
"""By kind of completion, the action of `_arguments`; a blank offers nothing."""


def script() -> str:
    """Return the whole completion script."""
    words = first_words() | {"help": "show the help of a command or key"} | COMMAND_OPTIONS
    return _HEAD.replace("@COMMANDS@", _array(words.items(), 8)) + "".join(_families()) + _commands() + _TAIL


def _families() -> Iterator[str]:
    """Yield a case for each first word of two-word commands: it offers the second words."""
    for family in FAMILIES:
        yield f"        {family})\n            if ((CURRENT == 2)); then\n{_array(second_words(family).items(), 16)}\n"
        yield "                _describe -t commands command commands\n                return\n            fi\n"
        yield '            command+=" $words[2]"\n            shift words\n            ((CURRENT--))\n            ;;\n'
    yield "    esac\n    case $command in\n"


def _commands() -> str:
    cases = [
        f"        {_quoted(command.name)}) _arguments -s{_specifications(command)} ;;\n"
        for command in COMMANDS.values()
    ]
    first = " ".join(first_words())
    return "".join(cases) + f"        help) _arguments {_quoted(f':command:({first})')} ;;\n"


def _specifications(command: Subcommand) -> str:
    specifications = [_specification(argument) for argument in command.arguments]
    help_option = "(- *)--help[show this help]"
    return "".join(f" \\\n            {_quoted(text)}" for text in (*specifications, help_option))


def _specification(argument: Argument) -> str:
    """Return the specification of one option or operand.

    >>> _specification(Argument(flag="--label", metavar="KEY=VALUE", many=True, help="set a label"))
    '*--label=[set a label]:KEY=VALUE: '
    """
    message = argument.metavar.replace(":", "\\:")
    if not argument.flag:
        count = "*" if argument.many else "" if argument.required else ":"
        return f"{count}:{message}:{_action(argument)}"
    explanation = argument.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    option = f"{'*' if argument.many else ''}{argument.flag}"
    return f"{option}=[{explanation}]:{message}:{_action(argument)}" if argument.metavar else f"{option}[{explanation}]"


def _action(argument: Argument) -> str:
    words = closed_words(argument)
    return f"({' '.join(words)})" if words else _ACTIONS[argument.completion]


def _array(words: Iterable[tuple[str, str]], indent: int) -> str:
    """Return an assignment of words with their descriptions, as `_describe` reads them."""
    blanks = " " * indent
    rows = [f"{blanks}    {_quoted(word + ':' + text)}\n" for word, text in words]
    return f"{blanks}commands=(\n{''.join(rows)}{blanks})"


def _quoted(text: str) -> str:
    """Return ``text`` in single quotes of the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


if __name__ == "__main__":
    sys.stdout.write(script())
