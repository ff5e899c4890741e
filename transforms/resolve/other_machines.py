"""The other machines that a template sees: `machines(role='web')` returns one record for each Node that matches.

    Documents ──OtherMachines──▶ records, sorted by name ──machines(…)──▶ a list for the loop of a template

A record is made from the Node document only, which administrators write. Reports are not used: a machine that lies
about itself would write into the files of others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Document, Kind, Leaf, Row, Tree
from ordain.transforms.resolve.used_facts import templates

MAX_MACHINES = 10_000
"""The most Nodes that `machines()` looks at."""
PER_STEP = 16
"""The Nodes that are looked at for one step of the budget of a template."""
_CALL = lazy_pattern(r"\bmachines\b\s*\(")
_CALL_IN_BYTES = lazy_pattern(rb"\bmachines\s*\(")
_GLOB = frozenset("*?[")


def uses_machines(document: Document) -> bool:
    """Return whether a template of ``document`` calls `machines()`."""
    return any(map(_CALL.search, templates(document.sections)))


def branch_uses_machines(branch: Branch) -> bool:
    """Return whether a template in ``branch`` calls `machines()`."""
    return any(map(_CALL.search, templates(branch)))


def mentions_machines(texts: Iterable[bytes]) -> bool:
    """Return whether any of ``texts`` may call `machines()`: its machine then needs the Nodes of all others.

    >>> mentions_machines([b"content: {template: '{{ machines(role=1)|length }}'}"])
    True
    """
    return any(map(_CALL_IN_BYTES.search, texts))


class OtherMachines:
    """The Nodes among ``documents`` as records, made when a template asks for the first time."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = tuple(document for document in documents if document.kind is Kind.NODE)

    def __call__(self, *selectors: Mapping[str, Any], **labels: Any) -> tuple[dict[str, Any], ...]:
        """Return the records of the Nodes that have all the labels; this is `machines()` of templates.

        A value is a text, a list of which any may match, or None for a label that is not set. ``name`` takes patterns,
        as does ``hostname``. Raises `BudgetExceeded`, `TypeError`.
        """
        from ordain.transforms.template.budget import BudgetExceeded, charge  # jinja2, which few compiles need

        if not all(isinstance(selector, dict) for selector in selectors):
            raise TypeError("machines() takes labels, such as machines(role='web') or machines({'data-center': 'a'})")
        if len(self._documents) > MAX_MACHINES:
            raise BudgetExceeded(f"machines() looks at {MAX_MACHINES:,} Nodes at most")
        wanted = {**{name: value for selector in selectors for name, value in selector.items()}, **labels}
        charge(1 + len(self._documents) // PER_STEP * (1 + len(wanted)))
        return tuple(record for record in self._records if all(_has(record, *item) for item in wanted.items()))

    @cached_property
    def _records(self) -> tuple[dict[str, Any], ...]:
        return tuple(map(_record, sorted(self._documents, key=lambda document: document.name)))

    @cached_property
    def digest(self) -> bytes:
        """Return a hash of all records: what a template that calls `machines()` may depend on."""
        return hashlib.sha256(repr(self._records).encode("utf-8", "surrogateescape")).digest()


def _record(node: Document) -> dict[str, Any]:
    """Return the record of one Node: maps, lists and texts only, which a template may reach."""
    addresses = tuple(dict.fromkeys(_addresses(node.sections.branch("network"))))
    hostname = node.sections.branch("host").value("hostname")
    values = plain(node.sections.branch("values"))
    assert isinstance(values, dict)
    said = values.get("address")
    return {
        "name": node.name,
        "hostname": hostname if isinstance(hostname, str) else _literal(node, "hostname") or node.name,
        "machine_id": _literal(node, "machine-id"),
        "mac": tuple(sorted(_literals(node, "mac"))),
        "labels": {name: values[0] if len(values) == 1 else values for name, values in sorted(node.labels.items())},
        "addresses": addresses,
        "address": next(iter(addresses), said if isinstance(said, str) else ""),
        "value": values,
    }


def _literals(node: Document, fact: str) -> Iterator[str]:
    condition = node.match.get(fact)
    if condition is not None and not condition.negated:
        yield from (value for value in condition.values if value and not _GLOB & set(value))


def _literal(node: Document, fact: str) -> str:
    return next(_literals(node, fact), "")


def _addresses(tree: Tree) -> Iterator[str]:
    """Yield the static addresses of the devices in the section ``network`` of the Node, without prefix lengths."""
    if isinstance(tree, Leaf):
        return
    for name, child in sorted(tree.children.items()):
        if name == "addresses" and isinstance(child, Leaf) and isinstance(child.value, tuple):
            cells = (row.get("address") if isinstance(row, Row) else row for row in child.value)
            yield from (cell.partition("/")[0] for cell in cells if isinstance(cell, str))
        elif name != "nameservers":
            yield from _addresses(child)


def _has(record: Mapping[str, Any], name: str, wanted: object) -> bool:
    options = wanted if isinstance(wanted, (tuple, list)) else (wanted,)
    if name in ("name", "hostname"):
        return any(isinstance(option, str) and fnmatchcase(record[name], option) for option in options)
    actual = record["labels"].get(name, ())
    values = (actual,) if isinstance(actual, str) else actual
    return any(not values if option is None else _word(option) in values for option in options)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
