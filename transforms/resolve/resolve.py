"""Documents and facts → the one document for this machine (docs/design/documents.md, rules 4, 5 and 16)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ordain.transforms.document.schema import sections
from ordain.transforms.errors import Problem, Refused, Severity, only_errors, sorted_problems
from ordain.transforms.model import Document, Facts, Kind, Leaf, MatchCondition, Resolved, Tree
from ordain.transforms.resolve.match import Match, matches
from ordain.transforms.resolve.merge import match_entries, merge, rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A Layer or Node and whether it is for this machine."""

    document: Document
    match: Match


def resolve(
    documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]
) -> tuple[Resolved, tuple[Problem, ...]]:
    """All layers that match, merged, with the Node's labels among the facts; and the warnings.

    ``shared``: see `match.matches`. Raises `Refused` with every problem: LayerConflict, two Nodes for one
    machine, two documents of one kind and name.
    """
    documents = tuple(documents)
    problems = [*duplicates(documents), *_two_nodes(documents, facts, shared)]
    facts = with_node_labels(documents, facts, shared)
    layers = [c for c in candidates(documents, facts, shared) if c.match.holds]
    ranked = [(c.document, rank(c.document, c.match.closeness)) for c in layers]
    tree, wrong = merge(ranked, sections(Kind.LAYER))
    problems += wrong
    if only_errors(problems):
        raise Refused(problems)
    ranked.sort(key=lambda item: (item[1], item[0].where))
    return Resolved(tree=tree, facts=facts, layers=tuple(d.name for d, _ in ranked)), tuple(problems)


def candidates(documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]) -> tuple[Candidate, ...]:
    """Every Layer and Node with what became of its match, highest rank last; ``facts`` hold the Node's labels."""
    found = [
        Candidate(document=document, match=matches(with_default_match(document), facts, shared))
        for document in documents
        if document.kind in (Kind.LAYER, Kind.NODE)
    ]
    return tuple(sorted(found, key=lambda c: (rank(c.document, c.match.closeness), c.document.where)))


def with_node_labels(documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]) -> Facts:
    """``facts`` with the labels of this machine's Node: kernel command line over Node over agent.yaml."""
    for node in matching_nodes(documents, facts, shared):
        labels = {name: values for name, values in node.labels.items() if name not in facts.pinned}
        facts = replace(facts, labels={**facts.labels, **labels})
    return facts


def lost_by_renaming(
    documents: Iterable[Document], facts: Facts, shared: Mapping[str, str], hostname: str
) -> tuple[Document, ...]:
    """The Layers and Nodes that are for this machine now, and would not be if it were called ``hostname``."""
    documents = tuple(documents)
    renamed = replace(facts, hostname=hostname)
    before, after = (candidates(documents, with_node_labels(documents, f, shared), shared) for f in (facts, renamed))
    kept = [c.document for c in after if c.match.holds]
    return tuple(c.document for c in before if c.match.holds and c.document not in kept)


def with_default_match(document: Document) -> Document:
    """A Node without a match is for the machine whose hostname is its name."""
    if document.kind is not Kind.NODE or document.match:
        return document
    return replace(document, match={"hostname": MatchCondition(values=(document.name,), where=document.where)})


def matching_nodes(documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]) -> list[Document]:
    """The Nodes that are this machine: one, unless the documents are wrong."""
    nodes = [document for document in documents if document.kind is Kind.NODE]
    return [node for node in nodes if matches(with_default_match(node), facts, shared).holds]


def _two_nodes(documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]) -> Iterable[Problem]:
    nodes = matching_nodes(documents, facts, shared)
    for other in nodes[1:]:
        what = f"node {other.name} and node {nodes[0].name} (at {nodes[0].where}) are both this machine"
        yield Problem(where=other.where, what=what, hint="match on machine-id", code="TwoNodes")


def certain_conflicts(documents: Iterable[Document]) -> tuple[Problem, ...]:
    """The conflicts that need no machine to be seen, and dead leaves: what `ordainctl validate` reports.

    Every machine that a layer is for also gets the layers whose conditions are among its own; these must agree.
    """
    layers = [document for document in documents if document.kind is Kind.LAYER]
    found: list[Problem] = []
    for layer in layers:
        together = [other for other in layers if match_entries(other) <= match_entries(layer)]
        ranked = [(other, rank(other, _usual_closeness(other))) for other in together]
        found += merge(ranked, sections(Kind.LAYER))[1]
    return tuple(problem for problem in sorted_problems(found) if problem.code != "NullOfNothing")


def _usual_closeness(document: Document) -> tuple[int, int]:
    """Stands in for the closeness on a machine: layers of one OS condition are equally close."""
    system = 2 if "id" in document.match else 1 if "os" in document.match else 0
    return system, int("version" in document.match)


def duplicates(documents: Iterable[Document]) -> Iterable[Problem]:
    """Documents of one kind with one name."""
    seen: dict[tuple[Kind, str], Document] = {}
    for document in documents:
        first = seen.setdefault((document.kind, document.name), document)
        if first is not document:
            what = f"there are two {document.kind} documents called {document.name}; the other is at {first.where}"
            both = Severity.WARNING if document.kind is Kind.TRANSFORM else Severity.ERROR  # both lend their names
            yield Problem(where=document.where, what=what, hint="rename one", code="Duplicate", severity=both)


def leaves(tree: Tree) -> Iterable[Leaf]:
    """Every leaf of the tree, by name."""
    if isinstance(tree, Leaf):
        yield tree
    else:
        for name in sorted(tree.children):
            yield from leaves(tree.children[name])
