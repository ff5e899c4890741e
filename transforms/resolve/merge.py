"""Merges the layers of one machine into one tree with provenance (docs/design/documents.md, rules 6 to 8).

The merge is that of RFC 7396 over named maps; a set is a map, and a sequence is one leaf. The layer with the higher
rank wins; a difference between layers of equal rank is a conflict. The place in the documents never decides a value: it
only decides which of several equal layers the provenance names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ordain.transforms.document.keys.shapes import FreeForm, Map, Record, Set, Shape
from ordain.transforms.errors import NOWHERE, Problem, Severity, Where, did_you_mean
from ordain.transforms.model import Branch, Document, Leaf, Row, Template, Tree, Value

Rank = tuple[int, int, tuple[int, int]]
"""Tier, weight and closeness of the OS match; the higher rank wins."""
MAX_HINTS = 100
"""The problems that get a hint: each hint compares a name with all others, and a set may have thousands of nulls."""


def rank(document: Document, closeness: tuple[int, int]) -> Rank:
    """Return the rank of ``document`` among the layers of a machine."""
    return (document.tier_rank, document.weight, closeness)


def merge(layers: Iterable[tuple[Document, Rank]], shape: Shape) -> tuple[Branch, tuple[Problem, ...]]:
    """Merge ``layers``, all of which match the machine, into one tree, and return it with the problems.

    ``shape`` is the shape of the whole tree, which names the keys that exclude each other.
    """
    merger = _Merger()
    root = _MergedMap()
    for document, order in sorted(layers, key=lambda item: (item[1], item[0].where)):
        merger.document, merger.rank = document, order
        merger.map(root, document.sections, shape)
    return root.tree(), tuple(merger.problems)


@dataclass(slots=True)
class _MergedLeaf:
    """A leaf that is being merged. ``removed``: a null has removed it, but its rank still counts."""

    leaf: Leaf
    rank: Rank
    document: Document
    removed: bool = False


@dataclass(slots=True)
class _SingleSource:
    """A map that only one document has set so far, so it needs no merge yet."""

    branch: Branch
    rank: Rank
    document: Document
    shape: Shape

    def opened(self) -> _MergedMap:
        """Return it as a map into which another document can be merged."""
        merger, made = _Merger(), _MergedMap()
        merger.document, merger.rank = self.document, self.rank
        merger.map(made, self.branch, self.shape)
        return made


@dataclass(slots=True)
class _MergedMap:
    """A map that is being merged. ``documents`` are those of the highest ``rank`` that set it, even if it is empty."""

    items: dict[str, _MergedLeaf | _MergedMap | _SingleSource] = field(default_factory=dict)
    where: Where = NOWHERE
    layer: str = ""
    rank: Rank | None = None
    documents: list[Document] = field(default_factory=list)

    def get(self, name: str) -> _MergedLeaf | _MergedMap | None:
        """Return the value of ``name`` so far."""
        item = self.items.get(name)
        if isinstance(item, _SingleSource):
            item = self.items[name] = item.opened()
        return item

    def tree(self) -> Branch:
        children: dict[str, Tree] = {}
        for name, item in self.items.items():
            if isinstance(item, _SingleSource):
                children[name] = item.branch
            elif isinstance(item, _MergedMap):
                children[name] = item.tree()
            elif not item.removed:
                children[name] = item.leaf
        return Branch(children=children, where=self.where, layer=self.layer)

    def leaves(self) -> Iterator[_MergedLeaf]:
        """Yield every leaf below."""
        for name in tuple(self.items):
            yield from _leaves(self.get(name))


def _present(entries: _MergedMap) -> Iterator[str]:
    """Yield the names of the entries that no null has removed."""
    for name, item in entries.items.items():
        if not (isinstance(item, _MergedLeaf) and item.removed):
            yield name


class _Merger:
    document: Document
    rank: Rank

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def map(self, into: _MergedMap, branch: Branch, shape: Shape) -> None:
        if into.rank != self.rank:
            into.rank, into.documents = self.rank, []
        into.documents.append(self.document)
        into.where, into.layer = into.where if into.layer else branch.where, into.layer or self.document.name
        nulls = [(n, c) for n, c in branch.children.items() if isinstance(c, Leaf) and c.value is None]
        for name, leaf in nulls:
            self.remove(into, name, leaf)
        for name, child in branch.children.items():
            if isinstance(child, Branch):
                self.branch(into, name, child, shape)
            elif child.value is not None:
                self.leaf(into, name, child, shape)

    def remove(self, into: _MergedMap, name: str, null: Leaf) -> None:
        old = into.get(name)
        for rival in self.equals(old):
            if not (isinstance(old, _MergedLeaf) and old.removed):
                self.conflict(null, rival)
                return
        if old is None:
            hint = did_you_mean(name, _present(into)) if len(self.problems) < MAX_HINTS else ""
            what = f"null has nothing to remove: no lower layer sets {name}"
            self.warn(null, what, hint or "remove this key", "NullOfNothing")
        into.items[name] = _MergedLeaf(null, self.rank, self.document, removed=True)

    def branch(self, into: _MergedMap, name: str, child: Branch, shape: Shape) -> None:
        old = into.get(name)
        if old is None and not _has_null(child):
            into.items[name] = _SingleSource(child, self.rank, self.document, _below(shape, name))
            return
        if isinstance(old, _MergedLeaf):
            for equal in self.equals(old):
                self.conflict(Leaf(value=None, where=child.where, layer=self.document.name), equal)
        new = old if isinstance(old, _MergedMap) else _MergedMap()
        into.items[name] = new
        self.map(new, child, _below(shape, name))

    def leaf(self, into: _MergedMap, name: str, leaf: Leaf, shape: Shape) -> None:
        overrode: list[Leaf] = []
        for rival in (name, *_rivals(shape, name)):
            item = into.get(rival)
            removed = isinstance(item, _MergedLeaf) and item.removed
            for equal in self.equals(item):
                if rival != name and removed:
                    break
                if isinstance(item, _MergedLeaf) and rival == name and not removed and equal.value == leaf.value:
                    return
                self.conflict(leaf, equal)
                return
            for merged in _leaves(item):
                if not merged.removed:
                    self.dead(merged, leaf)
                    overrode += [replace(merged.leaf, overrode=()), *merged.leaf.overrode]
            into.items.pop(rival, None)
        if overrode or leaf.overrode:
            leaf = replace(leaf, overrode=tuple(overrode))
        into.items[name] = _MergedLeaf(leaf, self.rank, self.document)

    def equals(self, item: _MergedLeaf | _MergedMap | None) -> Iterator[Leaf]:
        """Yield the leaves that other documents of this rank have set in ``item``."""
        for merged in _leaves(item):
            if merged.rank == self.rank and merged.document is not self.document:
                yield merged.leaf
        if isinstance(item, _MergedMap) and item.rank == self.rank:
            for document in item.documents:
                if document is not self.document:
                    yield Leaf(value=None, where=item.where, layer=document.name)

    def conflict(self, new: Leaf, old: Leaf) -> None:
        first, second = sorted((new, old), key=lambda leaf: leaf.where)
        what = (
            f"layers {first.layer} and {second.layer} (at {second.where}) have the same rank and set different values"
        )
        if _shown(first.value) or _shown(second.value):
            what += f": {_shown(first.value) or 'null'} and {_shown(second.value) or 'null'}"
        hint = "give one of them a higher weight or a higher tier"
        self.problems.append(Problem(where=first.where, what=what, hint=hint, code="LayerConflict"))

    def dead(self, merged: _MergedLeaf, by: Leaf) -> None:
        """Warn of a leaf that is overridden on every machine that its layer matches (rule 7)."""
        mine, other = self.document, merged.document
        above = (mine.tier_rank, mine.weight) > (other.tier_rank, other.weight)
        if above and match_entries(mine) <= match_entries(other):
            what = f"has no effect: layer {mine.name} (at {by.where}) overrides it on all machines of {other.name}"
            self.warn(merged.leaf, what, "remove one of the two", "Overridden")

    def warn(self, leaf: Leaf, what: str, hint: str, code: str) -> None:
        self.problems.append(Problem(where=leaf.where, what=what, hint=hint, code=code, severity=Severity.WARNING))


def _has_null(tree: Tree) -> bool:
    """Return whether there is a null in ``tree``."""
    return any(map(_has_null, tree.children.values())) if isinstance(tree, Branch) else tree.value is None


def _leaves(item: _MergedLeaf | _MergedMap | None) -> Iterator[_MergedLeaf]:
    if isinstance(item, _MergedMap):
        yield from item.leaves()
    elif item is not None:
        yield item


def match_entries(document: Document) -> frozenset[tuple[str, tuple[str | None, ...], bool]]:
    """Return the entries of ``match`` as a set: a layer with a subset of them matches at least the same machines."""
    return frozenset((name, c.values, c.negated) for name, c in document.match.items())


def _below(shape: Shape, name: str) -> Shape:
    match shape:
        case Record(keys=keys):
            return keys[name]
        case Map():
            return shape.below(name)
        case Set(of=of) if of is not None:
            return of
    return _FREE


_FREE = FreeForm()


def _rivals(shape: Shape, name: str) -> Iterator[str]:
    """Yield the other keys of the group of exclusive keys that ``name`` is in."""
    for group in shape.one_of if isinstance(shape, Record) else ():
        if name in group:
            yield from (other for other in group if other != name)


def _shown(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, Template):
        return repr(value.text)
    if isinstance(value, tuple) and any(isinstance(part, Row) for part in value):
        return f"a list of {len(value)}"
    return str(value).lower() if isinstance(value, bool) else repr(value)
