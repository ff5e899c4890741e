"""Quotes texts for a POSIX shell so that no line of a script begins with the text of a user.

A scheduler may read a line that begins with its prefix as a directive, wherever it is. So a newline in a text becomes
the variable `NEWLINE`, which the script sets before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

NEWLINE = "ordain_newline"
DEFINE_NEWLINE = (f"{NEWLINE}='", "'")
"""The two lines that set `NEWLINE`."""
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_BUILTINS = frozenset(
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
    if first in _BUILTINS or (first.startswith("%") and "=" not in first):
        program = f"env {quoted(first)}"  # bash takes %1 for a job, even in quotes
    elif first.startswith("%"):
        program = f'/bin/sh -c \'exec "$0" "$@"\' {quoted(first)}'  # env takes it for an assignment
    else:
        # In quotes, NAME=VALUE is the name of a program and not an assignment.
        program = f"''{quoted(first)}" if "=" in first else quoted(first)
    return " ".join([program, *map(quoted, rest)])
