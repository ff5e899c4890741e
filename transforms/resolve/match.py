"""Matches layers with machines, with the reasons and the closeness (docs/design/documents.md, rules 4, 5 and 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ordain.transforms.document.formats import fact_table
from ordain.transforms.document.formats.conditions import FACTS, RANGES, in_range
from ordain.transforms.model import Document, Facts, MatchCondition

MAX_SHOWN = 10
"""The values that a reason names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The result of the ``match`` of one layer on one machine.

    ``reasons`` holds a sentence for each entry, in the order of the layer; ``mismatches`` holds those of entries that
    do not match, and ``unmet`` the names of these entries. ``closeness`` compares layers that match the same machine:
    the higher one is closer.
    """

    holds: bool
    reasons: tuple[str, ...] = ()
    mismatches: tuple[str, ...] = ()
    unmet: frozenset[str] = frozenset()
    closeness: tuple[int, int] = (0, 0)


def match_layer(layer: Document, facts: Facts, shared: Mapping[str, str]) -> Match:
    """Match ``layer`` with the machine that has these ``facts``.

    ``shared`` maps an ID to the one of its ID_LIKE whose version numbers it has (``rocky`` to ``rhel``).
    """
    reasons: list[str] = []
    mismatches: dict[str, str] = {}
    for name, condition in layer.match.items():
        foreign = name == "version" and _foreign_versions(layer.match, facts, shared)
        actual = values_of(facts, name)
        further = name not in facts.labels and fact_table.is_further_fact(name)
        unknown = further and name in facts.unknown
        impossible = foreign or unknown
        holds = (
            not impossible and any(_holds(name, w, actual, further) for w in condition.values) is not condition.negated
        )
        reason = f"{name}: {'is' if holds else 'expected'} {_wanted(condition)}"
        if foreign:
            reason += f", but the version of this machine is a version of {facts.id}"
        elif unknown:
            reason += ", but this fact is not known yet"
        elif not holds:
            reason += f", but this machine {_is(name, actual)}"
        if not holds:
            mismatches[name] = reason
        reasons.append(reason)
    return Match(
        holds=not mismatches,
        reasons=tuple(reasons),
        mismatches=tuple(mismatches.values()),
        unmet=frozenset(mismatches),
        closeness=_closeness(layer.match, facts),
    )


def values_of(facts: Facts, name: str) -> tuple[str, ...]:
    """Return the values of a fact or a label; a label overrides a further fact of its name."""
    if name in FACTS:
        return FACTS[name](facts)
    return facts.labels[name] if name in facts.labels else facts.details.get(name, ())


def has_value(facts: Facts, name: str, wanted: str) -> bool:
    """Return whether the machine with ``facts`` has the value ``wanted`` of a fact or a label, as in `match`."""
    further = name not in facts.labels and fact_table.is_further_fact(name)
    return _holds(name, wanted, values_of(facts, name), further)


def _holds(name: str, wanted: str | None, actual: tuple[str, ...], further: bool) -> bool:
    """Return whether any of the values ``actual`` is the ``wanted`` one; an empty value counts as not set."""
    if wanted is None:
        return not any(actual)
    if further:
        return fact_table.holds(name, wanted, actual)
    if name in RANGES:
        return any(in_range(value, wanted) for value in actual)
    if name == "hostname":
        return any(fnmatchcase(value, wanted) for value in actual)
    if name == "mac":
        wanted = wanted.lower().replace("-", ":")
    if name == "machine-id":
        wanted = wanted.lower().replace("-", "")
    if name == "system-uuid":
        wanted = wanted.lower()
    return bool(wanted) and wanted in actual


def _foreign_versions(match: Mapping[str, MatchCondition], facts: Facts, shared: Mapping[str, str]) -> bool:
    """Return whether the ``version`` of the layer is about another system than the VERSION_ID of this machine.

    That is so if its ``os`` only matches this machine by ID_LIKE (rule 5).
    """
    wanted = match.get("os")
    if wanted is None or wanted.negated or "id" in match:
        return False
    return not {facts.id, shared.get(facts.id, facts.id)} & set(wanted.values)


def _closeness(match: Mapping[str, MatchCondition], facts: Facts) -> tuple[int, int]:
    """Return the rank by rule 7: ``id``, then ``os`` in the order of ID and ID_LIKE, then neither; then ``version``."""
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


def _wanted(condition: MatchCondition) -> str:
    words = " or ".join("unset" if value is None else value for value in condition.values)
    return f"not {words}" if condition.negated else words


def _is(name: str, actual: tuple[str, ...]) -> str:
    """Return what the machine has instead, for the reason."""
    values = [value for value in actual if value]
    if not values:
        return "has none"
    if len(values) > MAX_SHOWN and name != "os":
        return f"is {', '.join(values[:MAX_SHOWN])} and {len(values) - MAX_SHOWN:,} more"
    if name == "os" and len(values) > 1:
        return f"is {values[0]} (like {', '.join(values[1:])})"
    return f"is {', '.join(values)}"
