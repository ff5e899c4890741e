"""Folds the layers of one machine into one tree with provenance (docs/design/documents.md, rules 6 to 8).

RFC 7396 over named maps; a set is a map, a sequence is one leaf. Order: rank, then it is a conflict; within a
rank the place in the documents decides only what provenance names first, never a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ordain.transforms.document.shapes import FreeForm, Map, Record, Set, Shape
from ordain.transforms.errors import NOWHERE, Problem, Severity, Where, did_you_mean
from ordain.transforms.model import TIERS, Branch, Document, Leaf, Row, Template, Tree, Value

Rank = tuple[int, int, tuple[int, int]]
"""Tier, weight, closeness of the OS match: higher wins."""


def rank(document: Document, closeness: tuple[int, int]) -> Rank:
    """Where ``document`` stands among the layers of a machine."""
    return (TIERS.index(document.tier), document.weight, closeness)


def merge(layers: Iterable[tuple[Document, Rank]], shape: Shape) -> tuple[Branch, tuple[Problem, ...]]:
    """The merged tree of ``layers``, all of which match, and what is wrong with their union.

    ``shape`` is the shape of the whole tree; it knows the one-of groups.
    """
    fold = _Fold()
    root = _Map()
    for document, order in sorted(layers, key=lambda item: (item[1], item[0].where)):
        fold.document, fold.rank = document, order
        fold.map(root, document.sections, shape)
    return root.tree(), tuple(fold.problems)


@dataclass(slots=True)
class _Slot:
    """A leaf in the making. ``gone``: a null took it back, and its rank still counts."""

    leaf: Leaf
    rank: Rank
    document: Document
    gone: bool = False


@dataclass(slots=True)
class _Lone:
    """A map that one document has spoken of so far: what that says of it stands as it is."""

    branch: Branch
    rank: Rank
    document: Document
    shape: Shape

    def opened(self) -> _Map:
        """For another document to speak of it too."""
        fold, made = _Fold(), _Map()
        fold.document, fold.rank = self.document, self.rank
        fold.map(made, self.branch, self.shape)
        return made


@dataclass(slots=True)
class _Map:
    """A map in the making. ``rank`` and ``documents`` tell who said last that it is there, even if empty."""

    items: dict[str, _Slot | _Map | _Lone] = field(default_factory=dict)
    where: Where = NOWHERE
    layer: str = ""
    rank: Rank | None = None
    documents: list[Document] = field(default_factory=list)

    def get(self, name: str) -> _Slot | _Map | None:
        """What is said of ``name`` so far."""
        item = self.items.get(name)
        if isinstance(item, _Lone):
            item = self.items[name] = item.opened()
        return item

    def tree(self) -> Branch:
        children: dict[str, Tree] = {}
        for name, item in self.items.items():
            if isinstance(item, _Lone):
                children[name] = item.branch
            elif isinstance(item, _Map):
                children[name] = item.tree()
            elif not item.gone:
                children[name] = item.leaf
        return Branch(children=children, where=self.where, layer=self.layer)

    def slots(self) -> Iterator[_Slot]:
        """Every leaf below."""
        for name in tuple(self.items):
            yield from _slots(self.get(name))


class _Fold:
    document: Document
    rank: Rank

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def map(self, into: _Map, branch: Branch, shape: Shape) -> None:
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

    def remove(self, into: _Map, name: str, null: Leaf) -> None:
        old = into.get(name)
        for rival in self.equals(old):
            if not (isinstance(old, _Slot) and old.gone):
                self.conflict(null, rival)
                return
        if old is None:
            known = did_you_mean(name, into.items) or "take it out"
            self.warn(null, f"null takes nothing back: no lower layer sets {name}", known, "NullOfNothing")
        into.items[name] = _Slot(null, self.rank, self.document, gone=True)

    def branch(self, into: _Map, name: str, child: Branch, shape: Shape) -> None:
        old = into.get(name)
        if old is None and not _takes_back(child):
            into.items[name] = _Lone(child, self.rank, self.document, _below(shape, name))
            return
        if isinstance(old, _Slot):
            for equal in self.equals(old):
                self.conflict(Leaf(value=None, where=child.where, layer=self.document.name), equal)
        new = old if isinstance(old, _Map) else _Map()
        into.items[name] = new
        self.map(new, child, _below(shape, name))

    def leaf(self, into: _Map, name: str, leaf: Leaf, shape: Shape) -> None:
        overrode: list[Leaf] = []
        for rival in (name, *_rivals(shape, name)):
            item = into.get(rival)
            gone = isinstance(item, _Slot) and item.gone
            for equal in self.equals(item):
                if rival != name and gone:
                    break
                if isinstance(item, _Slot) and rival == name and not gone and equal.value == leaf.value:
                    return
                self.conflict(leaf, equal)
                return
            for slot in _slots(item):
                if not slot.gone:
                    self.dead(slot, leaf)
                    overrode += [replace(slot.leaf, overrode=()), *slot.leaf.overrode]
            into.items.pop(rival, None)
        into.items[name] = _Slot(replace(leaf, overrode=tuple(overrode)), self.rank, self.document)

    def equals(self, item: _Slot | _Map | None) -> Iterator[Leaf]:
        """What other documents of this rank have said in ``item``."""
        for slot in _slots(item):
            if slot.rank == self.rank and slot.document is not self.document:
                yield slot.leaf
        if isinstance(item, _Map) and item.rank == self.rank:
            for document in item.documents:
                if document is not self.document:
                    yield Leaf(value=None, where=item.where, layer=document.name)

    def conflict(self, new: Leaf, old: Leaf) -> None:
        first, second = sorted((new, old), key=lambda leaf: leaf.where)
        what = f"layer {first.layer} and layer {second.layer} (at {second.where}) are equal in rank and disagree"
        if _said(first.value) or _said(second.value):
            what += f": {_said(first.value) or 'null'} against {_said(second.value) or 'null'}"
        hint = "give the exception a higher weight, or a higher tier"
        self.problems.append(Problem(where=first.where, what=what, hint=hint, code="LayerConflict"))

    def dead(self, slot: _Slot, by: Leaf) -> None:
        """Warns of a leaf that is overridden wherever its layer matches (rule 7)."""
        mine, other = self.document, slot.document
        above = (TIERS.index(mine.tier), mine.weight) > (TIERS.index(other.tier), other.weight)
        if above and match_entries(mine) <= match_entries(other):
            what = f"has no effect: layer {mine.name} (at {by.where}) overrides it wherever {other.name} matches"
            self.warn(slot.leaf, what, "remove one of the two", "Overridden")

    def warn(self, leaf: Leaf, what: str, hint: str, code: str) -> None:
        self.problems.append(Problem(where=leaf.where, what=what, hint=hint, code=code, severity=Severity.WARNING))


def _takes_back(tree: Tree) -> bool:
    """Whether there is a null in ``tree``."""
    return any(map(_takes_back, tree.children.values())) if isinstance(tree, Branch) else tree.value is None


def _slots(item: _Slot | _Map | None) -> Iterator[_Slot]:
    if isinstance(item, _Map):
        yield from item.slots()
    elif item is not None:
        yield item


def match_entries(document: Document) -> frozenset[tuple[str, tuple[str | None, ...], bool]]:
    """The entries of ``match``, comparable: fewer of them hold on more machines."""
    return frozenset((name, c.values, c.negated) for name, c in document.match.items())


def _below(shape: Shape, name: str) -> Shape:
    match shape:
        case Record(keys=keys):
            return keys[name]
        case Map(of=of):
            return of
        case Set(of=of) if of is not None:
            return of
    return _FREE


_FREE = FreeForm()


def _rivals(shape: Shape, name: str) -> Iterator[str]:
    """The other members of the one-of group that ``name`` is in."""
    for group in shape.one_of if isinstance(shape, Record) else ():
        if name in group:
            yield from (other for other in group if other != name)


def _said(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, Template):
        return repr(value.text)
    if isinstance(value, tuple) and any(isinstance(part, Row) for part in value):
        return f"a list of {len(value)}"
    return str(value).lower() if isinstance(value, bool) else repr(value)
