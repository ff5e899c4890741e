"""Reads the values of scalar settings: numbers, time spans, sizes, signals, modes.

Every function takes the text of a value, returns its meaning, and raises `EncodeError` if systemd would not accept it.
PID 1 ignores a wrong value and only logs it, so it has to be found here.
"""

from __future__ import annotations

import errno
import re
from decimal import Decimal

from ordain.transforms.lazy_patterns import lazy_pattern

INFINITY = 2**64 - 1
"""The number by which systemd holds "infinity", in microseconds or bytes."""


class EncodeError(ValueError):
    """A setting cannot hold the value: ``what`` names the fault, ``hint`` the remedy."""

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what} ({hint})" if hint else what)


def boolean(text: str) -> bool:
    """Read ``yes``, ``no`` and the other spellings of parse_boolean()."""
    word = text.lower()
    if word in ("1", "yes", "y", "true", "t", "on"):
        return True
    if word in ("0", "no", "n", "false", "f", "off"):
        return False
    raise EncodeError(f"not a boolean: {text!r}", "write yes or no")


def integer(text: str, low: int = -(2**31), high: int = 2**31 - 1) -> int:
    """Read a decimal number from ``low`` to ``high``.

    >>> integer("-5", -20, 19)
    -5
    """
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        raise EncodeError(f"not a whole number: {text!r}", "write decimal digits")
    number = int(text)
    if text.lstrip("+-").startswith("0") and number:  # safe_atou() and its kin read it to the base 8
        raise EncodeError(f"to systemd, a number with a leading 0 is octal: {text!r}", f"write {number}")
    if not low <= number <= high:
        raise EncodeError(f"out of range: {text}", f"use {low} to {high}")
    return number


def unsigned(text: str, high: int = 2**32 - 1) -> int:
    """Read a decimal number from 0 to ``high``."""
    return integer(text, 0, high)


def mode(text: str) -> int:
    """Read an access mode in octal digits.

    >>> oct(mode("0750"))
    '0o750'
    """
    if not re.fullmatch(r"0*[0-7]{1,4}", text):
        raise EncodeError(f"not an access mode: {text!r}", 'write octal digits, such as "0750"')
    return int(text, 8)


_USEC = {
    1: ("usec", "us", "µs", "μs"),
    1_000: ("msec", "ms"),
    1_000_000: ("seconds", "second", "sec", "s"),
    60_000_000: ("minutes", "minute", "min", "m"),
    3_600_000_000: ("hours", "hour", "hr", "h"),
    86_400_000_000: ("days", "day", "d"),
    604_800_000_000: ("weeks", "week", "w"),
    2_629_800_000_000: ("months", "month", "M"),
    31_557_600_000_000: ("years", "year", "y"),
}
_UNITS = {unit: usec for usec, units in _USEC.items() for unit in units}
_SPAN = lazy_pattern(
    r"[ \t]*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[ \t]*("
    + "|".join(sorted(_UNITS, key=len, reverse=True))
    + r")|(?=[ \t]|$))[ \t]*"
)


def timespan(text: str, unit: int = 1_000_000) -> int:
    """Read a time span and return microseconds; "infinity" is `INFINITY`. A bare number counts ``unit`` microseconds.

    Source: systemd.time(7), "Parsing Time Spans".

    >>> timespan("1min 30s"), timespan("90"), timespan("1.5h")
    (90000000, 90000000, 5400000000)
    """
    stripped = text.strip(" \t")
    if stripped == "infinity":
        return INFINITY
    total, at = 0, 0
    while at < len(stripped):
        match = _SPAN.match(stripped, at)
        if match is None:
            break
        number, name = match.groups()
        total += int(Decimal(number) * (_UNITS[name] if name else unit))
        at = match.end()
    if not stripped or at < len(stripped):
        raise EncodeError(f"not a time span: {text!r}", 'write it as "90s", "5min" or "1h 30min"')
    if total >= INFINITY:
        raise EncodeError(f"time span too long: {text!r}", 'write "infinity"')
    return total


_SIZE = lazy_pattern(r"([0-9]{1,20}(?:\.[0-9]+)?)[ \t]*([BKMGTPE]?)")


def size(text: str, base: int = 1024) -> int:
    """Read a size and return bytes; the suffixes K, M, G, T, P, E count in powers of ``base``.

    >>> size("1.5K"), size("64M")
    (1536, 67108864)
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise EncodeError(f"not a size: {text!r}", "write a number of bytes, or a number with K, M, G or T")
    number, unit = match.groups()
    total = int(Decimal(number) * base ** "BKMGTPE".index(unit or "B"))
    if total >= INFINITY:
        raise EncodeError(f"size too large: {text!r}", "write less than 16E")
    return total


def percent(text: str, high: int = 100) -> Decimal:
    """Read a percentage from 0% to ``high``%, with at most two decimals. If ``high`` is 0, there is no limit.

    >>> percent("12.5%")
    Decimal('12.5')
    """
    match = re.fullmatch(r"((?!0[0-9])[0-9]{1,9}(?:\.[0-9]{1,2})?)%", text)
    if match is None or (high and Decimal(match[1]) > high):
        raise EncodeError(f"not a percentage: {text!r}", f"use 0% to {high}%" if high else 'write it as "200%"')
    return Decimal(match[1])


_SIGNALS = frozenset(
    """
    HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN
    TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
    """.split()
)


def signal(text: str) -> str:
    """Read a signal by name, with or without SIG, or by number.

    >>> signal("SIGHUP"), signal("RTMIN+3"), signal("15")
    ('SIGHUP', 'RTMIN+3', '15')
    """
    name = text.removeprefix("SIG")
    realtime = re.fullmatch(r"RTMIN(?:\+([0-9]+))?|RTMAX(?:-([0-9]+))?", name)
    number = text.isascii() and text.isdigit() and text[0] != "0" and 1 <= int(text[:4]) <= 64
    if name in _SIGNALS or number or (realtime and int(realtime[1] or realtime[2] or 0) <= 30):
        return text
    raise EncodeError(f"not a signal: {text!r}", "write it as SIGTERM")


_ERRORS = frozenset(errno.errorcode.values())


def error_number(text: str) -> None:
    """Check an error of the system by name (EPERM) or by number."""
    if text.upper() not in _ERRORS and not (re.fullmatch("[0-9]{1,4}", text) and 1 <= int(text) <= 4095):
        raise EncodeError(f"not an error number: {text!r}", "such as EPERM")


_BYTES = frozenset(["FSIZE", "DATA", "STACK", "CORE", "RSS", "AS", "MEMLOCK", "MSGQUEUE"])


def resource_limit(text: str, resource: str) -> None:
    """Check a value of ``Limit{resource}=``: one limit, or soft:hard (systemd.exec(5), "Process Properties")."""
    soft, colon, hard = text.partition(":")
    values = [_one_limit(part, resource) for part in ((soft, hard) if colon else (soft,))]
    if len(values) == 2 and values[0] > values[1] and resource != "NICE":
        raise EncodeError(f"soft limit above the hard limit: {text!r}", "write soft:hard")


def _one_limit(text: str, resource: str) -> int:
    if text == "infinity":
        return INFINITY
    if resource in _BYTES:
        return size(text)
    if resource == "CPU":
        return timespan(text)
    if resource == "RTTIME":
        return timespan(text, 1)
    if resource == "NICE":
        return integer(text, -20, 19) if text[:1] in "+-" else integer(text, 1, 40)
    return unsigned(text, 2**64 - 1)
