"""The facts that documents depend on, in `match` or in a template; only these are read, hashed and waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.transforms.document.formats.conditions import FACTS
from ordain.transforms.document.formats.fact_table import FACT_TABLE, SITE, Known, is_further_fact
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Document, Kind, Leaf, Row, Template, Tree, Value, strings
from ordain.transforms.resolve.resolve import with_default_match

AT_BOOT = frozenset(
    """hostname mac machine-id root virtualization system-firmware system-uuid system-serial-number system-manufacturer
    system-product-name""".split()
) | {name for name, row in FACT_TABLE.items() if row.known is not Known.IMAGE}
"""Facts that nobody knows while an image is built; the facts of the site are others."""
_FACTS = lazy_pattern(r"\bfacts\b\W*(\w*)")
_METHODS = frozenset(("", "get", "items", "keys", "values"))
"""The words after ``facts`` that can mean any fact."""


def boot_time_facts(documents: Iterable[Document], shipped: Iterable[Document] = ()) -> frozenset[str]:
    """Return the facts that the result of ``documents`` may depend on, and that only a boot of the machine tells.

    ``shipped``: as for `used_facts`.
    """
    used = used_facts(documents, shipped)
    return frozenset(name for name in used if name in AT_BOOT or name.startswith(SITE))


def further_facts(documents: Iterable[Document], shipped: Iterable[Document] = ()) -> frozenset[str]:
    """Return the further facts (`formats.fact_table`) that the result of ``documents`` may depend on."""
    return frozenset(filter(is_further_fact, used_facts(documents, shipped)))


def used_facts(documents: Iterable[Document], shipped: Iterable[Document] = ()) -> frozenset[str]:
    """Return the facts and labels that the result of ``documents`` may depend on.

    Of the transformation database ``shipped``, the definitions of settings count that the documents use.
    A template that names a fact in an unknown way counts as if it used all of them.

    >>> sorted(_of_template("{{ facts.root }} {{ facts['machine_id'] }} {{ facts.rack_row }}"))
    ['facts.rack-row', 'machine-id', 'root']
    """
    facts: set[str] = set()
    documents = tuple(documents)
    for text in _texts_of_settings(documents, shipped):
        facts.update(_of_template(text))
    for document in documents:
        facts |= with_default_match(document).match.keys()
        for text in templates(document.sections):
            facts.update(_of_template(text))
    return frozenset(facts)


def _of_template(text: str) -> Iterator[str]:
    for word in _FACTS.findall(text):
        name = word.replace("_", "-")
        if name in FACTS or name in FACT_TABLE:
            yield name
        elif word in _METHODS:
            yield from AT_BOOT | FACT_TABLE.keys()
        else:
            yield f"{SITE}{name}"


def _texts_of_settings(documents: Iterable[Document], shipped: Iterable[Document]) -> Iterator[str]:
    """Yield the texts, all of which are templates, that are written for the settings in ``documents``."""
    sections = [(document.kind, document.sections.branch("settings")) for document in (*documents, *shipped)]
    used = {name for kind, settings in sections if kind is not Kind.TRANSFORM for name in settings}
    for kind, settings in sections:
        for name in used.intersection(settings) if kind is Kind.TRANSFORM else ():
            yield from _texts(settings.branch(name).branch("writes"))


def _texts(tree: Tree) -> Iterator[str]:
    if isinstance(tree, Leaf):
        yield from strings(tree.value)
        return
    for child in tree.children.values():
        yield from _texts(child)


def templates(tree: Tree) -> Iterator[str]:
    """Yield the text of each template in ``tree``."""
    if isinstance(tree, Branch):
        for name, child in tree.children.items():
            if name == "template" and isinstance(child, Leaf) and isinstance(child.value, str):
                yield child.value  # of a file, whose text is a template without being marked as one
            yield from templates(child)
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
