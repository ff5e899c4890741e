"""Quotes texts for a POSIX shell so that no line of a script begins with the text of a user.

A scheduler may read a line that begins with its prefix as a directive, wherever it is. So a newline in a text becomes
the variable `NEWLINE`, which the script sets before.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable, Iterable, Iterator, Sequence

from ordain.transforms.lazy_patterns import lazy_pattern

NEWLINE = "ordain_newline"
DEFINE_NEWLINE = (f"{NEWLINE}='", "'")
"""The two lines that set `NEWLINE`."""
NOTHING = "ordain_nothing"
"""A variable that is empty, for the beginning of a line that would look like a directive."""
DEFINE_NOTHING = (f"{NOTHING}=",)
POSIX_SHELL = lazy_pattern(r"(?:ba|da|a|ya|z|(?:mk|pdk|lk|ok)?k)?sh[0-9.-]*")
"""The names of shells that read the language of our scripts."""
TAKES_TEXT = lazy_pattern(rf"{POSIX_SHELL.pattern}|python[0-9.]*")
"""The names of programs that take the text of a script of several lines as ``-c TEXT``; csh does not."""
_SAFE = lazy_pattern(r"[A-Za-z0-9_@%+=:,./-]+")
BUILTINS = frozenset(
    """
    . : [ alias bg bind break builtin caller case cd chdir command compgen complete compopt continue coproc
    declare dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for function
    getopts hash help history if in jobs kill let local logout mapfile module popd printf pushd pwd read
    readarray readonly return select set shift shopt source suspend test then time times trap true type typeset
    ulimit umask unalias unset until wait while
    """.split()
)
"""Words that a shell does not look up as programs."""
RESERVED = frozenset(
    """
    UID EUID PPID GROUPS RANDOM SRANDOM SECONDS LINENO OPTIND OPTARG OPTERR DIRSTACK FUNCNAME HISTCMD PIPESTATUS
    SHELLOPTS BASHOPTS BASHPID BASH BASH_ALIASES BASH_ARGC BASH_ARGV BASH_ARGV0 BASH_CMDS BASH_COMMAND BASH_LINENO
    BASH_REMATCH BASH_SOURCE BASH_SUBSHELL BASH_VERSINFO BASH_VERSION EPOCHREALTIME EPOCHSECONDS COMP_WORDBREAKS
    IFS PWD OLDPWD SHLVL _
    """.split()
)
"""Variables that a shell sets or needs itself, so that a script cannot hand them to a program as they are."""


def quoted(text: str) -> str:
    """Return ``text`` as one word of a shell.

    >>> quoted("a b"), quoted("it's"), quoted("x=1"), quoted("")
    ("'a b'", "'it'\\\\''s'", 'x=1', "''")
    """
    if _SAFE.fullmatch(text):
        return text
    lines = ["'" + line.replace("'", "'\\''") + "'" if line else "" for line in text.split("\n")]
    return f'"${{{NEWLINE}}}"'.join(lines) if len(lines) > 1 else lines[0] or "''"


def command(words: Iterable[str]) -> str:
    """Return a command that runs the program that the first word names, whatever a shell means by that word."""
    first, *rest = words
    if first in BUILTINS or (first.startswith("%") and "=" not in first):
        program = f"env {quoted(first)}"  # bash takes %1 for a job, even in quotes
    elif first.startswith("%"):
        program = f'/bin/sh -c \'exec "$0" "$@"\' {quoted(first)}'  # env takes it for an assignment
    else:
        # In quotes, NAME=VALUE is the name of a program and not an assignment.
        program = f"''{quoted(first)}" if "=" in first else quoted(first)
    return " ".join([program, *map(quoted, rest)])


def here_document(lines: Sequence[str], hidden: Callable[[str], bool]) -> tuple[str, tuple[str, ...]]:
    """Return the word that begins a here-document with ``lines``, and its lines with the one that ends it.

    The shell reads the same bytes in any case. No line begins with one for which ``hidden`` is true.

    >>> here_document(["echo $x", "#A"], lambda line: line.startswith("#"))
    ('ORDAIN_SCRIPT', ('echo \\\\$x', '${ordain_nothing}#A', 'ORDAIN_SCRIPT'))
    """
    end = next(end for end in _ends() if not any(_spoils(end, line) for line in lines))
    if not any(map(hidden, lines)):
        return f"'{end}'", (*lines, end)
    escaped = (("${" + NOTHING + "}" if hidden(line) else "") + re.sub(r"[\\$`]", r"\\\g<0>", line) for line in lines)
    return end, (*escaped, end)


def _ends() -> Iterator[str]:
    """Yield lines that may end a here-document, the usual one first."""
    for number in itertools.count():
        for letter in ("", *string.ascii_uppercase):
            yield f"{letter}ORDAIN_SCRIPT{number or ''}"


def _spoils(end: str, line: str) -> bool:
    """Return whether a here-document with ``line`` cannot end with ``end``.

    dash 0.5.12 loses a byte where a line begins like ``end`` and goes on with a character that is not ASCII.
    """
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(end, line, strict=False)))
    return line == end or (0 < same < len(line) and not line[same].isascii())
