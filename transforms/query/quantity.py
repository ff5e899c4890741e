"""Values as quantities, so that ``1024M`` equals ``1G`` and is more than ``512M``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.values import EncodeError, percent, size, timespan

_BOOLEANS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
_NUMBER = lazy_pattern(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
_ENDLESS = ("infinity", "max")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its dimension: a plain number can be compared with a size in bytes."""

    dimension: str
    number: Decimal


def _time(text: str) -> Decimal:
    return Decimal(timespan(text))


_READERS: tuple[tuple[str, Callable[[str], Decimal | int]], ...] = (
    ("bytes", size),
    ("percent", percent),
    ("time", _time),
)


def quantity(text: str) -> Quantity | None:
    """Return the quantity that ``text`` is, None for other text. A bare number counts as a size.

    >>> quantity("1K") == quantity("1024"), quantity("5min") == quantity("300s"), quantity("web")
    (True, True, None)
    """
    if text in _ENDLESS:
        return Quantity("", Decimal("Infinity"))
    if _NUMBER.fullmatch(text):
        return Quantity("bytes", Decimal(text))
    for dimension, read in _READERS:
        try:
            return Quantity(dimension, Decimal(read(text)))
        except (EncodeError, ValueError, ArithmeticError):
            continue
    return None


def comparable(one: Quantity | None, other: Quantity | None) -> bool:
    """Return whether both are quantities of one dimension; endless fits every dimension."""
    if one is None or other is None:
        return False
    return one.dimension == other.dimension or "" in (one.dimension, other.dimension)


def normal(text: str) -> str:
    """Return the text with one spelling for the words of booleans."""
    return _BOOLEANS.get(text.lower(), text)
