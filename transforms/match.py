"""Whether a layer is for a machine, why, and how closely: documents.md, rules 4, 5 and 7. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ordain.transforms.model import Condition, Document, Facts

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
}
"""The closed list of facts (rule 4); any other name in ``match`` is a label."""
RANGES = frozenset(("version", "systemd"))

_OPERATORS: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "": operator.eq,
}
_TERM = re.compile(r"(>=|<=|>|<|=|)\s*([0-9]{1,18}(?:\.[0-9]{1,18})*)")
_RANGE = re.compile(rf"\s*{_TERM.pattern}(\s+{_TERM.pattern})*\s*")
_LEADING = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What became of one layer's ``match`` on one machine.

    ``reasons`` holds a sentence per entry, in the layer's order; ``against`` those of them that keep the
    layer away. ``closeness`` compares two layers that hold on the same machine: the higher is the closer.
    """

    holds: bool
    reasons: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    closeness: tuple[int, int] = (0, 0)


def matches(layer: Document, facts: Facts, shared: Mapping[str, str]) -> Match:
    """Whether ``layer`` is for the machine with these ``facts``.

    ``shared`` maps an ID to the one of its ID_LIKE whose version numbers it has (``rocky`` to ``rhel``).
    """
    reasons: list[str] = []
    against: list[str] = []
    for name, condition in layer.match.items():
        foreign = name == "version" and _foreign_versions(layer.match, facts, shared)
        found = FACTS[name](facts) if name in FACTS else facts.labels.get(name, ())
        holds = not foreign and any(_holds(name, w, found) for w in condition.values) is not condition.negated
        reason = f"{name}: {'is' if holds else 'wants'} {_wanted(condition)}"
        if foreign:
            reason += f", but the version of this machine is one of {facts.id}"
        elif not holds:
            reason += f", this machine {_is(name, found)}"
            against.append(reason)
        if foreign:
            against.append(reason)
        reasons.append(reason)
    return Match(
        holds=not against,
        reasons=tuple(reasons),
        against=tuple(against),
        closeness=_closeness(layer.match, facts),
    )


def check_range(text: str) -> str | None:
    """What is wrong with ``text`` as a version range, ``None`` if nothing is.

    >>> check_range(">=9 <10"), check_range("22.04"), check_range("")
    (None, None, 'a version range is empty')
    """
    if not text.strip():
        return "a version range is empty"
    if _RANGE.fullmatch(text) is None:
        return f'"{text}" is no version range (write it as "12", ">=9 <10" or ">=22.04")'
    return None


def in_range(version: str, text: str) -> bool:
    """Whether ``version`` lies in the range ``text``: all its terms hold.

    Components compare as numbers, as many as the term gives: 9.4 is ``9``, ``<=9`` and not ``>9``.
    A version without a number is newer than all (a rolling release). What `check_range` refuses never holds.

    >>> in_range("9.4", ">=9 <10"), in_range("9.10", ">9.9"), in_range("", ">=12"), in_range("", "<12")
    (True, True, True, False)
    """
    if check_range(text) is not None:
        return False
    have = _components(version)
    return all(_term(have, sign, _components(bound)) for sign, bound in _TERM.findall(text))


def _components(version: str) -> tuple[int, ...]:
    """The numbers between the dots, up to the first component that begins with none."""
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


def _holds(name: str, wanted: str | None, found: tuple[str, ...]) -> bool:
    """Whether any value found is the wanted one; an empty value is one that is not set."""
    if wanted is None:
        return not any(found)
    if name in RANGES:
        return any(in_range(value, wanted) for value in found)
    if name == "hostname":
        return any(fnmatchcase(value, wanted) for value in found)
    if name == "mac":
        wanted = wanted.lower().replace("-", ":")
    if name == "machine-id":
        wanted = wanted.lower().replace("-", "")
    return bool(wanted) and wanted in found


def _foreign_versions(match: Mapping[str, Condition], facts: Facts, shared: Mapping[str, str]) -> bool:
    """Whether the layer speaks of another OS's versions than this machine's VERSION_ID counts.

    Only an ``os`` it wants, and wants in vain but for ID_LIKE, can make it so (rule 5).
    """
    wanted = match.get("os")
    if wanted is None or wanted.negated or "id" in match:
        return False
    return not {facts.id, shared.get(facts.id, facts.id)} & set(wanted.values)


def _closeness(match: Mapping[str, Condition], facts: Facts) -> tuple[int, int]:
    """Rule 7: ``id``, then ``os`` as ID and in ID_LIKE order, then neither; with a version before without."""
    chain = (facts.id, *facts.like)
    rank = 0
    for name, best in (("id", len(chain) + 1), ("os", len(chain))):
        condition = match.get(name)
        if condition is None or condition.negated:
            continue
        if name == "id":
            rank = max(rank, best)
        else:
            at = [chain.index(value) for value in condition.values if value in chain]
            rank = max([rank, *(best - i for i in at)])
    return rank, int("version" in match)


def _wanted(condition: Condition) -> str:
    words = " or ".join("unset" if value is None else value for value in condition.values)
    return f"not {words}" if condition.negated else words


def _is(name: str, found: tuple[str, ...]) -> str:
    """What the machine is instead, for the reason."""
    values = [value for value in found if value]
    if not values:
        return "has none"
    if name == "os" and len(values) > 1:
        return f"is {values[0]} (like {', '.join(values[1:])})"
    return f"is {', '.join(values)}"
