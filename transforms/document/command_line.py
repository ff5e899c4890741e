"""Splits a command line as a shell would, without expansion (docs/design/documents.md, rule 10)."""

from __future__ import annotations

import shlex


class BadCommandLine(ValueError):
    """The quotes of a command line do not close, or it is empty."""


def split(text: str) -> tuple[str, ...]:
    r"""The words of ``text``: blanks separate, quotes and backslashes protect, nothing expands.

    Raises `BadCommandLine`.

    >>> split(r"/bin/echo 'two words' $HOME \; #no-comment")
    ('/bin/echo', 'two words', '$HOME', ';', '#no-comment')
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise BadCommandLine(f"{str(error).lower()} in a command") from None
    if not words:
        raise BadCommandLine("an empty command")
    return words
