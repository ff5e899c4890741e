"""The meaning of neutral names on a machine: its Transform documents, merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ordain.transforms.document import transform_faults
from ordain.transforms.document.keys.schema import sections
from ordain.transforms.document.text.node import pointer_below, unescape_key
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Branch, Document, Facts, Kind, Leaf, TransformFault, Tree
from ordain.transforms.resolve.match import match_layer
from ordain.transforms.resolve.merge import Rank, merge, rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The merged Transforms. A user or path that no Transform names means itself.

    ``faults`` are the doubtful rows. ``applying`` says why each Transform, by path and name, matches the machine.
    ``asked`` collects the rows that were used (``services/ssh``), for `catalog_usage`.
    """

    tree: Branch
    faults: tuple[TransformFault, ...] = ()
    applying: Mapping[tuple[str, str], str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set, compare=False)

    def services(self) -> Iterable[str]:
        """Return the neutral names of services."""
        return self.tree.branch("services")

    def service(self, name: str, key: str) -> str:
        """Return the value of ``key`` (unit, socket, package, config) of service ``name``, "" if there is none."""
        return str(self._row("services", name).value(key, ""))

    def units(self) -> frozenset[str]:
        """Return the units of all services on this system."""
        rows = [row for _, row in self.tree.branch("services").branches()]
        return frozenset(str(leaf.value) for row in rows for key in ("unit", "socket") if (leaf := row.leaf(key)))

    def check(self, name: str) -> Leaf | None:
        """Return the commands that check the configuration of service ``name``."""
        return self._row("services", name).leaf("check")

    def milestones(self) -> Iterable[str]:
        """Return the neutral names of milestones."""
        return self.tree.branch("milestones")

    def milestone(self, name: str) -> str:
        """Return the unit of a milestone, "" for an unknown name."""
        return str(self._row("milestones", name).value("unit", ""))

    def user(self, name: str) -> str:
        """Return the name of a user or group on this system."""
        return str(self._row("users", name).value("name", name))

    def is_service_account(self, name: str) -> bool:
        """Return whether a Transform knows a user or group, by its neutral name or that of this system.

        These are accounts of services (www, ldap): nobody logs in with them.
        """
        rows = self.tree.branch("users")
        return name in rows or any(rows.branch(neutral).value("name", "") == name for neutral in rows)

    def renderer(self) -> str:
        """Return the network service of this system."""
        self.asked.add("network")
        return str(self.tree.branch("network").value("renderer", "networkd"))

    def path(self, name: str, usual: str = "") -> str:
        """Return the path of a program or file on this system, else ``usual``."""
        self.asked.add(pointer_below("paths", name))
        return str(self.tree.branch("paths").value(name, usual))

    def paths(self) -> Mapping[str, str]:
        """Return all paths by their neutral names."""
        return {name: str(leaf.value) for name, leaf in self.tree.branch("paths").leaves()}

    def row(self, pointer: str) -> Iterator[Leaf]:
        """Yield the values of a row, such as ``services/ssh``."""
        section, _, name = pointer.partition("/")
        tree: Tree | None = self.tree.branch(section)
        if name and isinstance(tree, Branch):
            tree = tree.children.get(unescape_key(name))
        if isinstance(tree, Branch):
            yield from (leaf for _, leaf in tree.leaves())
        elif tree is not None:
            yield tree

    def _row(self, section: str, name: str) -> Branch:
        self.asked.add(pointer_below(section, name))
        return self.tree.branch(section).branch(name)


def shared_versions(transforms: Iterable[Document]) -> Mapping[str, str]:
    """Return the IDs that have the version numbers of another ID (docs/design/documents.md, rule 5).

    Only Transforms without ``match`` are read, because matching needs the result.
    """
    shared: dict[str, str] = {}
    for document in sorted(transforms, key=lambda d: (d.weight, d.where)):
        if document.kind is Kind.TRANSFORM and not document.match:
            shared |= {name: str(leaf.value) for name, leaf in document.sections.branch("versions").leaves()}
    return shared


def names_for(
    transforms: Iterable[Document], facts: Facts, shared: Mapping[str, str]
) -> tuple[Names, tuple[Problem, ...]]:
    """Return the matching Transforms, merged, with their problems, which make rows doubtful but refuse nothing."""
    layers = [d for d in transforms if d.kind is Kind.TRANSFORM]
    problems = [
        Problem(
            where=leaf.where,
            what="versions has no effect in a Transform with match",
            hint="put it into a separate Transform without match",
            code="Overridden",
            severity=Severity.WARNING,
        )
        for document in layers
        if document.match
        for _, leaf in document.sections.branch("versions").leaves()
    ]
    matching = [(d, m) for d in layers if (m := match_layer(d, facts, shared)).holds]
    tree, wrong = _merged(_Layers((d, rank(d, m.closeness)) for d, m in matching))
    faults = [fault for d, _ in matching for fault in d.faults]
    for problem in wrong:
        if problem.severity is Severity.ERROR:
            faults.append(
                TransformFault(
                    pointer=transform_faults.row_of(problem.where.pointer), problem=transform_faults.as_blocked(problem)
                )
            )
        elif problem.code != "Overridden":  # a Transform of a site is meant to override shipped ones
            problems.append(problem)
    merged = Names(
        tree=tree,
        faults=tuple(faults),
        applying={(d.where.path, d.name): ", ".join(m.reasons) or "every machine" for d, m in matching},
    )
    return merged, (*problems, *(fault.problem for fault in faults))


class _Layers(tuple[tuple[Document, Rank], ...]):
    """Matching Transforms with their ranks, equal only to a tuple of the same objects: documents cannot be hashed."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(tuple((id(document), order) for document, order in self))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Layers)
            and len(self) == len(other)
            and all(a is c and b == d for (a, b), (c, d) in zip(self, other, strict=True))
        )

    def __ne__(self, other: object) -> bool:
        return not self == other


@lru_cache(maxsize=8)
def _merged(layers: _Layers) -> tuple[Branch, tuple[Problem, ...]]:
    """Merge the Transforms. The same ones match most machines of a fleet, whose facts decide nothing else here."""
    return merge(layers, sections(Kind.TRANSFORM))
