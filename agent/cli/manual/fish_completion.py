"""The completion for fish, generated from the table of commands: `python3 -m ordain.agent.cli.manual.fish_completion`.

``ordainctl.fish`` beside this module is its output; packages install it in /usr/share/fish/vendor_completions.d.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

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
# fish completion for ordainctl(1). Made by `python3 -m ordain.agent.cli.manual.fish_completion`: do not edit.

function __ordainctl_words
    commandline --tokenize --cut-at-cursor --current-process | tail --lines=+2
end

# The words before the cursor are these.
function __ordainctl_after
    set --local words (__ordainctl_words)
    test "$words" = "$argv"
end

# The words before the cursor begin with these.
function __ordainctl_in
    set --local words (__ordainctl_words)
    set --local length (count $argv)
    test (count $words) -ge $length; and test "$words[1..$length]" = "$argv"
end

# Print words of lines that begin with the pattern START: __ordainctl_listed START COLUMN COMMAND...
function __ordainctl_listed
    for line in (ordainctl $argv[3..-1] 2>/dev/null </dev/null)
        set --local words (string split --no-empty ' ' -- $line)
        string match --quiet --regex -- $argv[1] "$words[1]"; and echo $words[$argv[2]]
    end
end

complete --command ordainctl --no-files
"""


def _pattern(glob: str) -> str:
    """Return a regular expression for a glob, because fish has no classes of characters in globs.

    >>> _pattern("*.*")
    '^.*[.].*'
    """
    return "^" + glob.replace(".", "[.]").replace("*", ".*")


_OFFERS = {
    Completion.TEXT: "",
    Completion.FILES: " --force-files",
    Completion.DIRECTORIES: " --arguments '(__fish_complete_directories (commandline --current-token))'",
    **{
        kind: f" --arguments '(__ordainctl_listed \"{_pattern(listing.start)}\" {listing.column} {listing.command})'"
        for kind, listing in LISTINGS.items()
    },
}
"""By kind of completion, the options of `complete` that offer its words."""


def script() -> str:
    """Return the whole completion script."""
    return _HEAD + "".join(
        (
            *_words("__ordainctl_after", first_words() | {"help": "show the help of a command or key"}),
            *(_option("__ordainctl_after", flag.lstrip("-"), text) for flag, text in COMMAND_OPTIONS.items()),
            *_words("__ordainctl_after help", first_words()),
            *(line for family in FAMILIES for line in _words(f"__ordainctl_after {family}", second_words(family))),
            *(line for command in COMMANDS.values() for line in _command(command)),
        )
    )


def _command(command: Subcommand) -> Iterator[str]:
    """Yield the lines of one command: its operands, then its options."""
    condition = f"__ordainctl_in {command.name}"
    operands = [argument for argument in command.arguments if not argument.flag]
    if operands and (offer := _offer(operands[0])):
        yield f"complete --command ordainctl --condition '{condition}'{offer}\n"
    for argument in command.arguments:
        if argument.flag:
            files = "" if argument.completion is Completion.FILES else " --no-files"
            takes = f" --require-parameter{files}{_offer(argument)}" if argument.metavar else ""
            yield _option(condition, argument.flag.lstrip("-"), argument.help, takes)
    yield _option(condition, "help", "show this help")


def _words(condition: str, words: Mapping[str, str]) -> Iterator[str]:
    for word, text in words.items():
        yield f"complete --command ordainctl --condition '{condition}' --arguments {word}{_description(text)}\n"


def _option(condition: str, name: str, text: str, takes: str = "") -> str:
    return f"complete --command ordainctl --condition '{condition}' --long-option {name}{takes}{_description(text)}\n"


def _offer(argument: Argument) -> str:
    words = closed_words(argument)
    return f" --arguments {_quoted(' '.join(words))}" if words else _OFFERS[argument.completion]


def _description(text: str) -> str:
    return f" --description {_quoted(text)}"


def _quoted(text: str) -> str:
    r"""Return ``text`` in single quotes, in which fish reads a backslash before a quote or another backslash.

    >>> print(_quoted("it's"))
    'it\'s'
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    sys.stdout.write(script())
