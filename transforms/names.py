"""What neutral names mean on this OS: the Transform documents, merged for one machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordain.transforms.errors import Problem, Severity
from ordain.transforms.match import matches
from ordain.transforms.merge import merge, rank
from ordain.transforms.model import Branch, Document, Facts, Kind, Leaf
from ordain.transforms.schema import sections


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The merged Transforms. Users and paths that no Transform names mean themselves."""

    tree: Branch

    def services(self) -> Iterable[str]:
        """Neutral names of services."""
        return self.tree.branch("services")

    def service(self, name: str, key: str) -> str:
        """What service ``name`` has for ``key`` (unit, socket, package, config), "" if nothing."""
        return str(self.tree.branch("services").branch(name).value(key, ""))

    def check(self, name: str) -> Leaf | None:
        """The commands that check the configuration of service ``name``."""
        return self.tree.branch("services").branch(name).leaf("check")

    def milestones(self) -> Iterable[str]:
        """Neutral names of milestones."""
        return self.tree.branch("milestones")

    def milestone(self, name: str) -> str:
        """The unit of a milestone, "" if there is none of the name."""
        return str(self.tree.branch("milestones").branch(name).value("unit", ""))

    def user(self, name: str) -> str:
        """The name of a user or group on this OS."""
        return str(self.tree.branch("users").branch(name).value("name", name))

    def renderer(self) -> str:
        """What brings the network up on this OS."""
        return str(self.tree.branch("network").value("renderer", "networkd"))

    def paths(self) -> Mapping[str, str]:
        """Paths by neutral name."""
        return {name: str(leaf.value) for name, leaf in self.tree.branch("paths").leaves()}


def shared_versions(transforms: Iterable[Document]) -> Mapping[str, str]:
    """Which ID shares its version numbers with which (documents.md, rule 5).

    Read from Transforms without ``match`` only: matching itself needs it.
    """
    shared: dict[str, str] = {}
    for document in sorted(transforms, key=lambda d: (d.weight, d.where)):
        if document.kind is Kind.TRANSFORM and not document.match:
            shared |= {name: str(leaf.value) for name, leaf in document.sections.branch("versions").leaves()}
    return shared


def names(transforms: Iterable[Document], facts: Facts, shared: Mapping[str, str]) -> tuple[Names, tuple[Problem, ...]]:
    """The Transforms that match, merged. A conflict among them is a problem like one among Layers."""
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
    # That a site's transform overrides a shipped one wherever that matches is what it is for.
    problems += [problem for problem in wrong if problem.code != "Overridden"]
    return Names(tree=tree), tuple(problems)
