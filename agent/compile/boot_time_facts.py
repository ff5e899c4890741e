"""The facts that documents depend on and that only a boot of the machine tells: in `match`, or in a template."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.transforms.document.formats.conditions import FACTS
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Document, Row, Template, Tree, Value
from ordain.transforms.resolve.resolve import with_default_match

AT_BOOT = frozenset(
    """hostname mac machine-id root virtualization system-firmware system-uuid system-serial-number system-manufacturer
    system-product-name""".split()
)
"""Facts that nobody knows while an image is built."""
_FACTS = lazy_pattern(r"\bfacts\b\W*(\w*)")


def boot_time_facts(documents: Iterable[Document]) -> frozenset[str]:
    """Return those facts of `AT_BOOT` that the result of ``documents`` may depend on.

    A template that names a fact in an unknown way counts as if it used all of them.

    >>> sorted(_of_template("{{ facts.root }} {{ facts['machine_id'] }}"))
    ['machine-id', 'root']
    """
    facts: set[str] = set()
    for document in documents:
        facts |= with_default_match(document).match.keys()
        for text in _templates(document.sections):
            facts.update(_of_template(text))
    return frozenset(facts & AT_BOOT)


def _of_template(text: str) -> Iterator[str]:
    for word in _FACTS.findall(text):
        name = word.replace("_", "-")
        yield from (name,) if name in FACTS else AT_BOOT


def _templates(tree: Tree) -> Iterator[str]:
    if isinstance(tree, Branch):
        for child in tree.children.values():
            yield from _templates(child)
    else:
        yield from _of_value(tree.value)


def _of_value(value: Value) -> Iterator[str]:
    if isinstance(value, Template):
        yield value.text
    elif isinstance(value, tuple):
        for part in value:
            yield from _of_value(part)
    elif isinstance(value, Row):
        for _, cell in value.cells:
            yield from _of_value(cell)
