"""Splits the text of a setting into words as PID 1 does: the inverse of `quoting`.

Follows extract_first_word() of systemd's src/basic/extract-word.c and cunescape_one() of src/basic/escape.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.values import EncodeError

SPECIFIERS = frozenset("aAbBCdDEfgGhHiIjJlLmMnNopPqrRsStTuUvVwWyY%")
"""The letters that any version of PID 1 expands after a % (systemd.unit(5), "Specifiers")."""

_BLANKS = " \t\n\r"
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "s": " ",
}  # fmt: skip
_NUMBERED = lazy_pattern("x([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})")


def mount_options(text: str) -> list[str]:
    r"""Return the options of a mount: a comma in double quotes or behind a backslash belongs to a value.

    Both spellings are libmount's and systemd-fstab-generator's; the options keep them, as mount(8) reads them again.

    >>> mount_options(r'noexec,context="system_u:object_r:t:s0:c1,c2",,a=b\,c')
    ['noexec', 'context="system_u:object_r:t:s0:c1,c2"', 'a=b\\,c']
    """
    return [option for option in re.findall(r'(?:\\.|"[^"]*"|[^,])+', text) if option]


def split(text: str, *, unescape: bool) -> tuple[str, ...]:
    r"""Return the words of ``text``. Quotes may open anywhere; specifiers and ``$`` stay as they are.

    With ``unescape``, C escapes are undone (EXTRACT_CUNESCAPE), and unknown ones are kept, as PID 1 keeps them. Without
    it, a backslash only protects the next character. Raises `EncodeError` if a quote is not closed.

    >>> split('a "b c"\'d\' \\x41', unescape=True)
    ('a', 'b cd', 'A')
    """
    return tuple(_words(text, unescape))


def _words(text: str, unescape: bool) -> Iterator[str]:
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in _BLANKS:
            at += 1
        if at == end:
            return
        word = bytearray()
        quote = ""
        while at < end:
            char = text[at]
            at += 1
            if char == "\\":
                if at == end:
                    raise EncodeError("a word ends in a backslash", "write two backslashes for one")
                piece, at = _escaped(text, at, unescape)
                word += piece
            elif quote and char == quote:
                quote = ""
            elif not quote and char in "\"'":
                quote = char
            elif not quote and char in _BLANKS:
                break
            else:
                word += char.encode(errors="surrogatepass")
        if quote:
            raise EncodeError(f"a quote is not closed: {text!r}", f"close it, or write \\{quote}")
        yield word.decode(errors="surrogateescape")


def _escaped(text: str, at: int, unescape: bool) -> tuple[bytes, int]:
    """Return the bytes of the escape after a backslash, and the index at which it ends."""
    char = text[at]
    if not unescape:
        return char.encode(errors="surrogatepass"), at + 1
    if char in _SIMPLE:
        return _SIMPLE[char].encode(), at + 1
    match = _NUMBERED.match(text, at)
    if match is not None:
        two_hex, octal, four, eight = match.groups()
        if byte := int(two_hex or "0", 16) or int(octal or "0", 8):
            return bytes([byte]), match.end()
        if (code := int(four or eight or "0", 16)) and code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            return chr(code).encode(), match.end()
    return b"\\" + char.encode(errors="surrogatepass"), at + 1


def check_escapes(text: str) -> None:
    r"""Raise `EncodeError` for a backslash that is not the begin of a C escape (cunescape() without a flag).

    >>> check_escapes(r"a\tb\x41")
    """
    rest = re.sub(rf"\\(?:[{''.join(map(re.escape, _SIMPLE))}]|{_NUMBERED.pattern})", "", text)
    if "\\" in rest:
        raise EncodeError(f"unknown escape: {rest[rest.index(chr(92)) :][:4]!r}", "for a backslash, write two")


def check_specifiers(text: str) -> None:
    """Raise `EncodeError` for a specifier that PID 1 does not know: it would refuse the setting or the whole unit.

    >>> check_specifiers("100 % of %n")
    """
    for match in re.finditer("%(.)", text, re.DOTALL):
        if match[1].isascii() and match[1].isalnum() and match[1] not in SPECIFIERS:
            raise EncodeError(f"unknown specifier %{match[1]}", "for a percent sign, write %%")
