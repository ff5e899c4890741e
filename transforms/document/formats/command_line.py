"""Splits a command line into words as a shell does, but without expansion (docs/design/documents.md, rule 10)."""

from __future__ import annotations

import shlex


class BadCommandLine(ValueError):
    """The quotes of a command line are not closed, or it is empty."""


def split(text: str) -> tuple[str, ...]:
    r"""Return the words of ``text``. Blanks separate words, quotes and backslashes protect them, nothing is expanded.

    Raises `BadCommandLine`.

    >>> split(r"/bin/echo 'two words' $HOME \; #no-comment")
    ('/bin/echo', 'two words', '$HOME', ';', '#no-comment')
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise BadCommandLine(f"{str(error).lower()} in a command") from None
    if not words:
        raise BadCommandLine("the command is empty")
    return words
