"""Characters that nobody sees: they move the cursor of a terminal, reverse the order of letters, or end a line.

Standard library only.
"""

from __future__ import annotations

BYTE_ORDER_MARK = "\ufeff"
_NUMBERS = (
    *range(32),
    *range(127, 160),
    *(0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A), ord(BYTE_ORDER_MARK)),
)
"""The controls C0 and C1, the marks that change the direction of a text (UAX 9), and Unicode's own line ends."""
ESCAPES = {number: f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" for number in _NUMBERS}
JSON_ESCAPES = {number: f"\\u{number:04x}" for number in _NUMBERS if number >= 127}
"""Escapes for a JSON text, in which the controls below 127 have theirs already."""
IN_TEXT = {number: escape for number, escape in ESCAPES.items() if chr(number) not in "\n\t"}


def visible(text: str) -> str:
    r"""Return one line of text with an escape for each character that nobody sees.

    >>> visible("a\x1b[31m\x07\x9b\u202e")
    'a\\x1b[31m\\x07\\x9b\\u202e'
    """
    return text.translate(ESCAPES)
