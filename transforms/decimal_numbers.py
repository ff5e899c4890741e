"""Whole numbers in texts that somebody else has written.

``str.isdigit`` is true of ``²``, of which ``int`` makes an error, as it does of more than 4,300 digits.
"""

from __future__ import annotations

from ordain.transforms.lazy_patterns import lazy_pattern

DIGITS_MAX = 18
"""The most digits of a number that anything here can have: they fit into 64 bits."""


LONG_NUMBER = lazy_pattern(rf"[0-9]{{{DIGITS_MAX + 1}}}")
"""A part of a text that is a longer number."""


def is_decimal(text: str) -> bool:
    """Return whether ``text`` is a whole number in ASCII digits, without a sign.

    >>> [is_decimal(text) for text in ("0", "42", "", "-1", "²", "٣", "9" * 5000)]
    [True, True, False, False, False, False, False]
    """
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX


def clamped(digits: str) -> int:
    """Return the number in ``digits``; a larger one than `DIGITS_MAX` nines counts as one more than these.

    >>> clamped("0042"), clamped("0" * 5000), clamped("9" * 5000) == 10**18
    (42, 0, True)
    """
    plain = digits.lstrip("0")
    return int(plain or "0") if len(plain) <= DIGITS_MAX else 10**DIGITS_MAX
