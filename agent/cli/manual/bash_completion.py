"""The completion for bash, generated from the table of commands: `python3 -m ordain.agent.cli.manual.bash_completion`.

``ordainctl.bash`` beside this module is its output, for packages to install as
/usr/share/bash-completion/completions/ordainctl; a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

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
# bash completion for ordainctl(1). Made by `python3 -m ordain.agent.cli.manual.bash_completion`: do not edit.

# Print words of lines that begin with the pattern START: _ordainctl_listed START COLUMN COMMAND...
_ordainctl_listed() {
    local start=$1 column=$2 line
    shift 2
    ordainctl "$@" 2>/dev/null </dev/null | while read -r -a line; do
        [[ ${line[0]} == $start ]] && printf '%s\\n' "${line[column - 1]}"
    done
}

_ordainctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} flags= operand=
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "@COMMANDS@" -- "$current")
        return
    fi
    local command=${COMP_WORDS[1]}
    case $command in
"""
_TAIL = """\
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags --help" -- "$current")
        return
    fi
    case $operand in
        files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        directories) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
@LISTINGS@        text) ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$operand" -- "$current") ;;
    esac
}

complete -F _ordainctl ordainctl
"""


def script() -> str:
    """Return the whole completion script."""
    first = first_words()
    names = " ".join((*first, "help", *COMMAND_OPTIONS))
    commands = "".join(line for command in COMMANDS.values() for line in _command(command))
    listings = "".join(
        f"        {kind}) mapfile -t COMPREPLY < <(compgen -W "
        f'"$(_ordainctl_listed \'{listing.start}\' {listing.column} {listing.command})" -- "$current") ;;\n'
        for kind, listing in LISTINGS.items()
    )
    others = f"        help) operand='{' '.join(first)}' ;;\n"
    return (
        _HEAD.replace("@COMMANDS@", names)
        + "".join(_second())
        + commands
        + others
        + _TAIL.replace("@LISTINGS@", listings)
    )


def _second() -> Iterator[str]:
    """Yield a case for each first word of two-word commands, with the second words."""
    for first in FAMILIES:
        yield f"        {first})\n            if ((COMP_CWORD == 2)); then\n"
        words = " ".join(second_words(first))
        yield f"""                mapfile -t COMPREPLY < <(compgen -W "{words}" -- "$current")\n"""
        yield '                return\n            fi\n            command+=" ${COMP_WORDS[2]}"\n            ;;\n'
    yield "    esac\n    case $command in\n"


def _command(command: Subcommand) -> Iterator[str]:
    flags = " ".join(a.flag for a in command.arguments if a.flag)
    operands = [a for a in command.arguments if not a.flag]
    name = f"'{command.name}'" if " " in command.name else command.name
    yield f"        {name})\n            flags='{flags}'"
    yield f" operand='{_words(operands[0]) if operands else Completion.TEXT}'\n"
    valued = [a for a in command.arguments if a.flag and a.metavar]
    if valued:
        yield "            case $previous in\n"
        for argument in valued:
            yield f"                {argument.flag}) operand='{_words(argument)}' ;;\n"
        yield "            esac\n"
    yield "            ;;\n"


def _words(argument: Argument) -> str:
    return " ".join(closed_words(argument)) or argument.completion


if __name__ == "__main__":
    sys.stdout.write(script())
