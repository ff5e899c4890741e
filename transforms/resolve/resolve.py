"""Resolves documents and facts into the one document for a machine (docs/design/documents.md, rules 4, 5 and 16)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ordain.transforms.document.keys.schema import sections
from ordain.transforms.errors import Problem, Refused, Severity, only_errors, sorted_problems
from ordain.transforms.model import Document, Facts, Kind, MatchCondition, Resolved
from ordain.transforms.resolve.match import Match, match_layer
from ordain.transforms.resolve.merge import match_entries, merge, rank

MAX_REASONS = 3
"""The layers whose reasons are given if none matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A Layer or Node with the result of its match on this machine."""

    document: Document
    match: Match


def resolve(
    documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]
) -> tuple[Resolved, tuple[Problem, ...]]:
    """Return all layers that match, merged, with the labels of the Node among the facts; and the warnings.

    ``shared``: see `match.match_layer`. Raises `Refused` with every problem: conflicts of layers, two Nodes for one
    machine, two documents of one kind and name.
    """
    documents = tuple(documents)
    problems = [*duplicates(documents), *_two_nodes(documents, facts, shared)]
    facts = with_node_labels(documents, facts, shared)
    all_candidates = candidates(documents, facts, shared)
    problems += _nothing_matches(all_candidates)
    layers = [c for c in all_candidates if c.match.holds]
    ranked = [(c.document, rank(c.document, c.match.closeness)) for c in layers]
    tree, wrong = merge(ranked, sections(Kind.LAYER))
    problems += wrong
    if only_errors(problems):
        raise Refused(problems)
    ranked.sort(key=lambda item: (item[1], item[0].where))
    return Resolved(tree=tree, facts=facts, layers=tuple(d.name for d, _ in ranked)), tuple(problems)


def candidates(documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]) -> tuple[Candidate, ...]:
    """Return every Layer and Node with its match, highest rank last; ``facts`` hold the labels of the Node."""
    unsorted = [
        Candidate(document=document, match=match_layer(with_default_match(document), facts, shared))
        for document in documents
        if document.kind in (Kind.LAYER, Kind.NODE)
    ]
    return tuple(sorted(unsorted, key=lambda c: (rank(c.document, c.match.closeness), c.document.where)))


def with_node_labels(documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]) -> Facts:
    """Return ``facts`` with the labels of the Node of this machine.

    Labels of the kernel command line override those of the Node, which override those of agent.yaml.
    """
    for node in matching_nodes(documents, facts, shared):
        labels = {name: values for name, values in node.labels.items() if name not in facts.pinned}
        facts = replace(facts, labels={**facts.labels, **labels})
    return facts


def lost_by_renaming(
    documents: Iterable[Document], facts: Facts, shared: Mapping[str, str], hostname: str
) -> tuple[Document, ...]:
    """Return the Layers and Nodes that match this machine now, but would not if its host name were ``hostname``."""
    documents = tuple(documents)
    renamed = replace(facts, hostname=hostname)
    before, after = (candidates(documents, with_node_labels(documents, f, shared), shared) for f in (facts, renamed))
    kept = [c.document for c in after if c.match.holds]
    return tuple(c.document for c in before if c.match.holds and c.document not in kept)


def with_default_match(document: Document) -> Document:
    """Return ``document``; a Node without a match gets one for the machine whose host name is its name."""
    if document.kind is not Kind.NODE or document.match:
        return document
    return replace(document, match={"hostname": MatchCondition(values=(document.name,), where=document.where)})


def matching_nodes(documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]) -> list[Document]:
    """Return the Nodes that match this machine: at most one, unless the documents are wrong."""
    nodes = [document for document in documents if document.kind is Kind.NODE]
    return [node for node in nodes if match_layer(with_default_match(node), facts, shared).holds]


def _nothing_matches(layers: Sequence[Candidate]) -> Iterator[Problem]:
    """Yield a warning if there are layers and none matches, with the reasons of the first ones."""
    if not layers or any(layer.match.holds for layer in layers):
        return
    document = layers[0].document
    reasons = [f"{c.document.name} ({'; '.join(c.match.mismatches)})" for c in layers[:MAX_REASONS]]
    more = f" and {len(layers) - MAX_REASONS} more" if len(layers) > MAX_REASONS else ""
    yield Problem(
        where=replace(document.where, pointer="match") if document.match else document.where,
        what=f"no layer matches this machine: {', '.join(reasons)}{more}",
        hint="`ordainctl match` gives all reasons; `ordainctl facts` shows the facts and labels of a machine",
        code="NothingMatches",
        severity=Severity.WARNING,
    )


def _two_nodes(documents: Iterable[Document], facts: Facts, shared: Mapping[str, str]) -> Iterable[Problem]:
    nodes = matching_nodes(documents, facts, shared)
    for other in nodes[1:]:
        what = f"node {other.name} and node {nodes[0].name} (at {nodes[0].where}) both match this machine"
        yield Problem(where=other.where, what=what, hint="match each on its machine-id", code="TwoNodes")


def certain_conflicts(documents: Iterable[Document]) -> tuple[Problem, ...]:
    """Return the conflicts and the overridden leaves that are certain without a machine, for `ordainctl validate`.

    Every machine that a layer matches also gets the layers whose conditions are a subset of its own, so these layers
    must agree.
    """
    layers = [document for document in documents if document.kind is Kind.LAYER]
    problems: list[Problem] = []
    for layer in layers:
        together = [other for other in layers if match_entries(other) <= match_entries(layer)]
        ranked = [(other, rank(other, _usual_closeness(other))) for other in together]
        problems += merge(ranked, sections(Kind.LAYER))[1]
    return tuple(problem for problem in sorted_problems(problems) if problem.code != "NullOfNothing")


def _usual_closeness(document: Document) -> tuple[int, int]:
    """Return a closeness without a machine: layers with the same kinds of conditions are equally close."""
    system = 2 if "id" in document.match else 1 if "os" in document.match else 0
    return system, int("version" in document.match)


def duplicates(documents: Iterable[Document]) -> Iterable[Problem]:
    """Yield a problem for each second document of one kind and name."""
    seen: dict[tuple[Kind, str], Document] = {}
    for document in documents:
        first = seen.setdefault((document.kind, document.name), document)
        if first is not document:
            what = f"two {document.kind} documents have the name {document.name}; the other is at {first.where}"
            both = Severity.WARNING if document.kind is Kind.TRANSFORM else Severity.ERROR  # both are merged
            yield Problem(where=document.where, what=what, hint="rename one of them", code="Duplicate", severity=both)
