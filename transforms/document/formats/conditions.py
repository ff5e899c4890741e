"""The facts that ``match`` may name, and the version ranges in it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Facts
from ordain.transforms.systemd import machine_words

FACTS: Mapping[str, Callable[[Facts], tuple[str, ...]]] = {
    "id": lambda f: (f.id,),
    "os": lambda f: (f.id, *f.like),
    "version": lambda f: (f.version,),
    "systemd": lambda f: (str(f.systemd),),
    "arch": lambda f: (f.arch,),
    "virtualization": lambda f: (f.virtualization,),
    "hostname": lambda f: (f.hostname,),
    "machine-id": lambda f: (f.machine_id,),
    "mac": lambda f: f.mac,
    "root": lambda f: (f.root,),
    "system-firmware": lambda f: (f.system_firmware,),
    "system-uuid": lambda f: (f.system_uuid,),
    "system-serial-number": lambda f: (f.system_serial_number,),
    "system-manufacturer": lambda f: (f.system_manufacturer,),
    "system-product-name": lambda f: (f.system_product_name,),
}
"""The closed list of facts (docs/design/documents.md, rule 4); any other name in ``match`` is a label."""
ARCHITECTURES = machine_words.ARCHITECTURES | {"unknown"}
"""The values of ``arch``: systemd's words, and that of a failed look."""
ROOTS = frozenset(("disk", "ram"))
"""The values of ``root``."""
FIRMWARES = frozenset(("bios", "uefi"))
"""The values of ``system-firmware``."""
RANGES = frozenset(("version", "systemd"))
"""The facts whose values may be version ranges."""
_OPERATORS: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "": operator.eq,
}
_TERM = lazy_pattern(r"(>=|<=|>|<|=|)\s*([0-9]{1,18}(?:\.[0-9]{1,18})*)")
_RANGE = lazy_pattern(rf"\s*{_TERM.pattern}(\s+{_TERM.pattern})*\s*")
_LEADING = lazy_pattern(r"[0-9]{1,18}")


def range_error(text: str) -> str | None:
    """Return the fault of ``text`` as a version range, None if it is valid.

    >>> range_error(">=9 <10"), range_error("22.04"), range_error("")
    (None, None, 'a version range is empty')
    """
    if not text.strip():
        return "a version range is empty"
    if _RANGE.fullmatch(text) is None:
        return f'"{text}" is not a version range'
    return None


def in_range(version: str, text: str) -> bool:
    """Return whether ``version`` is in the range ``text``, which means that all its terms hold.

    Components compare as numbers, and only as many as the term has: 9.4 is in ``9`` and in ``<=9``, but not in ``>9``.
    A version without a number belongs to a rolling release and is newer than all others. No version is in an invalid
    range.

    >>> in_range("9.4", ">=9 <10"), in_range("9.10", ">9.9"), in_range("", ">=12"), in_range("", "<12")
    (True, True, True, False)
    """
    if range_error(text) is not None:
        return False
    have = _components(version)
    return all(_term(have, sign, _components(bound)) for sign, bound in _TERM.findall(text))


def is_empty_range(text: str) -> bool:
    """Return whether no version is in the range ``text``.

    Each term holds for an interval that begins or ends at its bound, so the versions at and beside the bounds decide.

    >>> is_empty_range(">=252 <250"), is_empty_range(">9 <9.5"), is_empty_range(">=252 <253"), is_empty_range("<0")
    (True, True, False, True)
    """
    versions = [""]
    for _, bound in _TERM.findall(text):
        *start, last = _components(bound)
        beside = ([*start, last], [*start, last, 1], [*start, last + 1], [*start, max(last - 1, 0)], start)
        versions += (".".join(map(str, components)) for components in beside)
    return not any(in_range(version, text) for version in versions)


def _components(version: str) -> tuple[int, ...]:
    """Return the numbers between the dots, up to the first component that does not begin with a digit."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = _LEADING.match(part)
        if digits is None:
            break
        numbers.append(int(digits[0]))
    return tuple(numbers)


def _term(have: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    if not have:
        return sign in (">", ">=")
    padded = (*have, *(0,) * len(bound))[: len(bound)]
    return _OPERATORS[sign](padded, bound)
