"""What neutral names mean on this OS: the Transform documents, merged for one machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ordain.transforms.document import transform_faults
from ordain.transforms.document.node import pointer_below, unescape_key
from ordain.transforms.document.schema import sections
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Branch, Document, Facts, Kind, Leaf, TransformFault, Tree
from ordain.transforms.resolve.match import matches
from ordain.transforms.resolve.merge import merge, rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The merged Transforms. Users and paths that no Transform names mean themselves.

    ``faults`` are the rows that cannot be trusted. ``applying``: why each Transform is for this machine, by path and
    name. ``asked`` notes which rows were looked at (``services/ssh``), for `catalog_usage.of`.
    """

    tree: Branch
    faults: tuple[TransformFault, ...] = ()
    applying: Mapping[tuple[str, str], str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set, compare=False)

    def services(self) -> Iterable[str]:
        """Neutral names of services."""
        return self.tree.branch("services")

    def service(self, name: str, key: str) -> str:
        """What service ``name`` has for ``key`` (unit, socket, package, config), "" if nothing."""
        return str(self._row("services", name).value(key, ""))

    def check(self, name: str) -> Leaf | None:
        """The commands that check the configuration of service ``name``."""
        return self._row("services", name).leaf("check")

    def milestones(self) -> Iterable[str]:
        """Neutral names of milestones."""
        return self.tree.branch("milestones")

    def milestone(self, name: str) -> str:
        """The unit of a milestone, "" if there is none of the name."""
        return str(self._row("milestones", name).value("unit", ""))

    def user(self, name: str) -> str:
        """The name of a user or group on this OS."""
        return str(self._row("users", name).value("name", name))

    def renderer(self) -> str:
        """What brings the network up on this OS."""
        self.asked.add("network")
        return str(self.tree.branch("network").value("renderer", "networkd"))

    def path(self, name: str, usual: str = "") -> str:
        """The path of a program or file on this OS, else ``usual``."""
        self.asked.add(pointer_below("paths", name))
        return str(self.tree.branch("paths").value(name, usual))

    def paths(self) -> Mapping[str, str]:
        """All paths by neutral name."""
        return {name: str(leaf.value) for name, leaf in self.tree.branch("paths").leaves()}

    def row(self, pointer: str) -> Iterator[Leaf]:
        """What is said of a row, such as ``services/ssh``."""
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
    """Which ID shares its version numbers with which (docs/design/documents.md, rule 5).

    Read from Transforms without ``match`` only: matching itself needs it.
    """
    shared: dict[str, str] = {}
    for document in sorted(transforms, key=lambda d: (d.weight, d.where)):
        if document.kind is Kind.TRANSFORM and not document.match:
            shared |= {name: str(leaf.value) for name, leaf in document.sections.branch("versions").leaves()}
    return shared


def names_for(
    transforms: Iterable[Document], facts: Facts, shared: Mapping[str, str]
) -> tuple[Names, tuple[Problem, ...]]:
    """The Transforms that match, merged, and what is wrong with them, which makes rows doubtful and refuses nothing."""
    layers = [d for d in transforms if d.kind is Kind.TRANSFORM]
    problems = [
        Problem(
            where=leaf.where,
            what="versions has no effect in a transform with match",
            hint="put it into a transform of its own, without match",
            code="Overridden",
            severity=Severity.WARNING,
        )
        for document in layers
        if document.match
        for _, leaf in document.sections.branch("versions").leaves()
    ]
    matching = [(d, m) for d in layers if (m := matches(d, facts, shared)).holds]
    tree, wrong = merge(((d, rank(d, m.closeness)) for d, m in matching), sections(Kind.TRANSFORM))
    faults = [fault for d, _ in matching for fault in d.faults]
    for problem in wrong:
        if problem.severity is Severity.ERROR:
            faults.append(
                TransformFault(
                    pointer=transform_faults.row_of(problem.where.pointer), problem=transform_faults.as_blocked(problem)
                )
            )
        elif problem.code != "Overridden":  # that a site's transform overrides a shipped one is what it is for
            problems.append(problem)
    found = Names(
        tree=tree,
        faults=tuple(faults),
        applying={(d.where.path, d.name): ", ".join(m.reasons) or "every machine" for d, m in matching},
    )
    return found, (*problems, *(fault.problem for fault in faults))
