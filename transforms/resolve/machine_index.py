"""The documents that could match a machine, found by its host name and its machine-id.

Most documents of a large fleet are Nodes, and each is for one machine. Whoever resolves the documents of all machines
would match every Node with every machine otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordain.transforms.model import Document, Facts
from ordain.transforms.resolve.resolve import duplicates, with_default_match

_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineIndex:
    """``documents``, of which each machine is given those that could match it."""

    documents: tuple[Document, ...]
    _shared: tuple[int, ...]
    _named: Mapping[tuple[str, str], tuple[int, ...]]

    def for_machine(self, facts: Facts) -> tuple[Document, ...]:
        """Return the documents that could match the machine, in their order.

        `resolve` makes the same document of them as of all, but it does not say why the others do not match.
        """
        named = {
            place
            for own in (("hostname", facts.hostname), ("machine-id", facts.machine_id))
            for place in self._named.get(own, ())
        }
        return tuple(self.documents[place] for place in sorted(named.union(self._shared)))


def machine_index(documents: Iterable[Document]) -> MachineIndex:
    """Return the index of ``documents``; if two have one name, which every machine refuses, it leaves none out."""
    documents = tuple(documents)
    if any(duplicates(documents)):
        return MachineIndex(documents=documents, _shared=tuple(range(len(documents))), _named={})
    shared: list[int] = []
    named: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, document in enumerate(documents):
        if names := _names(document):
            for name in names:
                named[name].append(place)
        else:
            shared.append(place)
    return MachineIndex(
        documents=documents,
        _shared=tuple(shared),
        _named={name: tuple(places) for name, places in named.items()},
    )


def _names(document: Document) -> frozenset[tuple[str, str]]:
    """Return the facts of which a machine that matches has one, none if ``match`` does not name its machines."""
    for name in ("hostname", "machine-id"):
        condition = with_default_match(document).match.get(name)
        if condition is None or condition.negated or not condition.values:
            continue
        values = [value for value in condition.values if value is not None]
        if len(values) < len(condition.values) or any(_WILDCARDS.intersection(value) for value in values):
            continue
        if name == "machine-id":
            values = [value.lower().replace("-", "") for value in values]
        return frozenset((name, value) for value in values)
    return frozenset()
