"""Bytes to unit-file text: how each syntax of systemd quotes, unescapes and expands.

A *neutral* string means its bytes and nothing else. Only two sequences in it stand for something: the sentinels
`INSTANCE` and `CREDENTIALS`, which a template makes; they become the specifiers %i and %d.
Rules: docs/design/systemd.md, facts 19 and 20; systemd's src/basic/extract-word.c, escape.c and src/shared/specifier.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ordain.transforms.systemd.values import EncodeError

INSTANCE = "\0i\0"
CREDENTIALS = "\0d\0"
MAX_BYTES = 1_000_000
"""systemd refuses a whole file for one line of 1 MiB."""

_SENTINEL = re.compile("\0([id])\0")
_BARE = re.compile(r"[A-Za-z0-9_./:=@,+%-]+")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"'}


def _same(text: str) -> str:
    return text


def check_encodable(text: str) -> None:
    """Raise `EncodeError` for what makes systemd refuse a whole file (utf8_is_valid()).

    That is anything but Unicode: lone surrogates, and the noncharacters U+FDD0–U+FDEF and U+xxFFFE–U+xxFFFF.
    """
    for char in text:
        code = ord(char)
        if 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE:
            raise EncodeError(f"U+{code:04X} is not a character", "systemd reads UTF-8 text only")


def without_sentinels(text: str) -> str:
    """``text`` with the sentinels replaced by a letter each: its shape, for a check."""
    return _SENTINEL.sub(r"\1", text)


def neutral(text: str, *, specifiers: bool, escape: Callable[[str], str] = _same) -> str:
    """``text`` so that after ``escape`` is undone and specifiers are expanded, its bytes are back.

    ``specifiers``: the setting expands them, so ``%`` is doubled and sentinels are possible.
    """
    check_encodable(text)
    pieces = _SENTINEL.split(text)
    if any("\0" in piece for piece in pieces[::2]):
        raise EncodeError("a NUL byte cannot stand in a setting")
    if not specifiers:
        if len(pieces) > 1:
            raise EncodeError(
                "this setting knows no specifiers", "instance and credential() cannot be used in this one"
            )
        return escape(text)
    return "".join(f"%{piece}" if at % 2 else escape(piece).replace("%", "%%") for at, piece in enumerate(pieces))


def one_line(text: str, *, specifiers: bool) -> str:
    """A neutral string for a setting that neither unquotes nor unescapes (Description=, paths)."""
    if text != text.strip(" \t\n\r"):
        raise EncodeError("this setting cannot hold a blank or a line end at either end")
    if "\n" in text or "\r" in text:
        raise EncodeError("this setting cannot hold a line end", "write it on one line")
    if (len(text) - len(text.rstrip("\\"))) % 2:
        raise EncodeError("this setting cannot end in a backslash")
    return neutral(text, specifiers=specifiers)


def c_escape(text: str) -> str:
    """``text`` with C escapes, as cunescape() undoes them; outside of quotes.

    A blank at either end is escaped, so that nothing strips it.
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
    """One word of a list whose words are unquoted and C-unescaped (ExecStart=, Environment=).

    ``escape`` is applied first, for what happens after the words are split.
    """
    word = neutral(text, specifiers=specifiers, escape=lambda piece: "".join(map(_c_char, escape(piece))))
    return word if _BARE.fullmatch(without_sentinels(text)) else f'"{word}"'


def quoted_word(text: str, *, specifiers: bool, escape: Callable[[str], str] = _same) -> str:
    """One word of a list whose words are unquoted but not C-unescaped (ReadWritePaths=): no line ends."""
    if "\n" in text or "\r" in text:
        raise EncodeError("this setting cannot hold a line end")
    word = neutral(text, specifiers=specifiers, escape=lambda piece: re.sub(r'(["\\])', r"\\\1", escape(piece)))
    return word if _BARE.fullmatch(without_sentinels(text)) else f'"{word}"'
