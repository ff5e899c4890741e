"""Words in the form of a template or of a specifier, in values that neither templates nor systemd expand."""

from __future__ import annotations

from collections.abc import Iterator

from ordain.transforms.errors import Problem, warning
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Leaf, Value

_EXPRESSION = lazy_pattern(r"\{\{-?\s*(?:values|facts|labels|instance|machines)\b[^}]*\}\}")
_SPECIFIER = lazy_pattern(r"(?<!%)%[iI](?![\w%])")
_FOR_TEMPLATES = frozenset(("values",))
"""Sections whose texts are not used as they are."""
_FOR_SYSTEMD = frozenset(("systemd", "instances"))
"""Keys of a service below which systemd expands specifiers, or a document is about one instance."""


def unexpanded_text(tree: Branch) -> Iterator[Problem]:
    """Warn of each value that a template or systemd would expand elsewhere, and that stays as it is here."""
    for section, items in tree.branches():
        for name, item in items.branches() if section not in _FOR_TEMPLATES else ():
            pointer = f"{section}/{name}"
            for leaf, text in _texts(item):
                if match := _EXPRESSION.search(text):
                    what = f"nothing expands {match[0]}: only the text of `template` is a template"
                    yield warning(pointer, leaf.where, what, 'write {template: "…"}', "Doubtful")
            if section == "services" and "instances" in item:
                for leaf, text in _texts(item, _FOR_SYSTEMD):
                    if match := _SPECIFIER.search(text):
                        what = f"nothing expands {match[0]}: every instance gets this very text"
                        yield warning(pointer, leaf.where, what, 'write {template: "{{ instance }}"}', "Doubtful")


def _texts(branch: Branch, without: frozenset[str] = frozenset()) -> Iterator[tuple[Leaf, str]]:
    """Yield the texts below ``branch``, except those of templates and below the keys ``without``."""
    for name, child in sorted(branch.children.items()):
        if isinstance(child, Branch):
            if name not in without:
                yield from _texts(child)
        elif name != "template":
            yield child, _text(child.value)


def _text(value: Value) -> str:
    """Return a string, or those of a list: the words of a command are one line again."""
    if isinstance(value, tuple):
        return " ".join(map(_text, value))
    return value if isinstance(value, str) else ""
