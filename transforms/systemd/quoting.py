"""Writes strings for unit files so that systemd's unquoting, unescaping and expansion give their bytes back.

A *neutral* string means its bytes and nothing else. Only two sequences in it have a meaning: the sentinels `INSTANCE`
and `CREDENTIALS`, which templates make. They become the specifiers %i and %d.
Rules: docs/design/systemd.md, facts 19 and 20; systemd's src/basic/extract-word.c, escape.c and src/shared/specifier.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.values import EncodeError

INSTANCE = "\0i\0"
CREDENTIALS = "\0d\0"
MAX_BYTES = 1_000_000
"""systemd refuses a whole file if one line has 1 MiB."""

_SENTINEL = lazy_pattern("\0([id])\0")
_BARE = lazy_pattern(r"[A-Za-z0-9_./:=@,+%-]+")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"'}


def _same(text: str) -> str:
    return text


def check_encodable(text: str) -> None:
    """Raise `EncodeError` for a character that makes systemd refuse the whole file (utf8_is_valid()).

    These are lone surrogates and the noncharacters U+FDD0–U+FDEF and U+xxFFFE–U+xxFFFF.
    """
    for char in text:
        code = ord(char)
        if 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE:
            raise EncodeError(f"U+{code:04X} is not a character", "systemd reads UTF-8 text only")


def without_sentinels(text: str) -> str:
    """Return ``text`` with a letter in place of each sentinel, so that a check can look at its shape."""
    return _SENTINEL.sub(r"\1", text)


def neutral(text: str, *, specifiers: bool, escape: Callable[[str], str] = _same) -> str:
    """Return the text that gives the bytes of ``text`` back once systemd has unescaped and expanded it.

    ``escape`` writes the escapes that systemd undoes. ``specifiers``: the setting expands them, so ``%`` is doubled and
    sentinels are possible.
    """
    check_encodable(text)
    pieces = _SENTINEL.split(text)
    if any("\0" in piece for piece in pieces[::2]):
        raise EncodeError("a setting cannot hold a NUL byte")
    if not specifiers:
        if len(pieces) > 1:
            raise EncodeError("this setting does not expand specifiers", "do not use instance and credential() here")
        return escape(text)
    return "".join(f"%{piece}" if at % 2 else escape(piece).replace("%", "%%") for at, piece in enumerate(pieces))


def one_line(text: str, *, specifiers: bool) -> str:
    """Return a neutral string for a setting that systemd neither unquotes nor unescapes (Description=, paths)."""
    if text != text.strip(" \t\n\r"):
        raise EncodeError("this setting cannot begin or end with a blank or a line end")
    if "\n" in text or "\r" in text:
        raise EncodeError("this setting cannot hold a line end", "write it on one line")
    if (len(text) - len(text.rstrip("\\"))) % 2:
        raise EncodeError("this setting cannot end in a backslash")
    return neutral(text, specifiers=specifiers)


def c_escape(text: str) -> str:
    """Return ``text`` with C escapes, as cunescape() undoes them outside of quotes.

    A blank at either end is escaped as well, so that systemd does not strip it.
    """
    escaped = "".join(_c_char(c) for c in text)
    if escaped.endswith(" "):
        escaped = escaped[:-1] + "\\x20"
    return "\\x20" + escaped[1:] if escaped.startswith(" ") else escaped


def _c_char(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    return f"\\x{ord(char):02x}" if char < " " or char == "\x7f" else char


def c_word(text: str, *, specifiers: bool = True, escape: Callable[[str], str] = _same) -> str:
    """Return one word of a list that systemd unquotes and C-unescapes (ExecStart=, Environment=).

    ``escape`` is applied first; it is for expansions that systemd does after it has split the words.
    """
    word = neutral(text, specifiers=specifiers, escape=lambda piece: "".join(map(_c_char, escape(piece))))
    return word if _BARE.fullmatch(without_sentinels(text)) else f'"{word}"'


def quoted_word(text: str, *, specifiers: bool, escape: Callable[[str], str] = _same) -> str:
    """Return one word of a list that systemd unquotes but does not C-unescape (ReadWritePaths=): no line ends."""
    if "\n" in text or "\r" in text:
        raise EncodeError("this setting cannot hold a line end")
    word = neutral(text, specifiers=specifiers, escape=lambda piece: re.sub(r'(["\\])', r"\\\1", escape(piece)))
    return word if _BARE.fullmatch(without_sentinels(text)) else f'"{word}"'
