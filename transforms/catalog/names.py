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
class RoleChoice:
    """The service that has a role on this machine, or, with ``what`` and ``hint``, why none has.

    ``place`` is what decided: the key of a document, or the row of the role. ``alternatives`` are the services of this
    system that can have the role.
    """

    service: str = ""
    reason: str = ""
    what: str = ""
    hint: str = ""
    place: Leaf
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The merged Transforms. A user or path that no Transform names means itself.

    ``faults`` are the doubtful rows. ``applying`` says why each Transform, by path and name, matches the machine.
    ``asked`` collects the rows that were used (``services/ssh``), for `catalog_usage`. ``roles`` are the choices of
    `catalog.roles`: a role means the row of its service.
    """

    tree: Branch
    roles: Mapping[str, RoleChoice] = field(default_factory=dict)
    faults: tuple[TransformFault, ...] = ()
    applying: Mapping[tuple[str, str], str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set, compare=False)

    def services(self) -> Iterable[str]:
        """Return the neutral names of services."""
        return self.tree.branch("services")

    def service(self, name: str, key: str) -> str:
        """Return the value of ``key`` (unit, start, package, config, …) of service ``name``, "" if there is none."""
        return str(self._row("services", name).value(key, ""))

    def service_values(self, name: str) -> Mapping[str, object]:
        """Return the values of a service for templates: those of its row, its user by the name of this system."""
        row = self._row("services", name)
        values: dict[str, object] = {key: leaf.value for key, leaf in row.leaves()}
        values |= {key: _members(several) for key, several in row.branches()}
        if "user" in values:
            values["user"] = self.user(str(values["user"]))
        return values

    def further_units(self, name: str) -> tuple[str, ...]:
        """Return the units of service ``name`` beside its main one."""
        return _members(self._row("services", name).branch("units"))

    def packages(self, name: str) -> tuple[str, ...]:
        """Return all packages that a neutral name of a package or service means, the main one first."""
        named = str(self._row("packages", name).value("package", ""))
        further = () if named else _members(self._row("services", name).branch("packages"))
        return tuple(dict.fromkeys(filter(None, (self.package(name), *further))))

    def package(self, name: str) -> str:
        """Return the package that a neutral name of a package or service means; any other name means itself.

        "" is returned for a service whose package no Transform names.
        """
        named = str(self._row("packages", name).value("package", "")) or self.service(name, "package")
        return named or ("" if name in self.tree.branch("services") else name)

    def package_manager(self) -> tuple[str, Branch]:
        """Return the name and the row of the package manager of this system; "" and an empty row if it has none."""
        self.asked.add("package-manager")
        name = str(self.tree.branch("package-manager").value("name", ""))
        return name, self._row("package-managers", name) if name else Branch()

    def units(self) -> frozenset[str]:
        """Return the units of all services on this system."""
        rows = [row for _, row in self.tree.branch("services").branches()]
        keys = ("unit", "start", "socket")
        main = frozenset(str(leaf.value) for row in rows for key in keys if (leaf := row.leaf(key)))
        return main.union(*(_members(row.branch("units")) for row in rows))

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
        """Return whether a Transform knows a user or group as one of a service (www, ldap): nobody logs in with it.

        ``name`` is its neutral name, or that of this system.
        """
        rows = self._accounts(name)
        return bool(rows) and all(row.value("system", True) is True for row in rows)

    def account(self, name: str) -> Branch:
        """Return the row of a user or group by its neutral name or that of this system; the fullest one of several."""
        return max(self._accounts(name), key=lambda row: len(row.children), default=Branch())

    def _accounts(self, name: str) -> tuple[Branch, ...]:
        rows = self.tree.branch("users")
        named = [neutral for neutral in sorted(rows) if name in (neutral, rows.branch(neutral).value("name", ""))]
        return (self._row("users", name),) if name in named else tuple(self._row("users", n) for n in named)

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

    def settings(self) -> Iterable[str]:
        """Return the names of settings."""
        return self.tree.branch("settings")

    def setting(self, name: str) -> Branch:
        """Return the definition of a setting with what this system writes for it, an empty map for an unknown name."""
        return self._row("settings", name)

    def row(self, pointer: str) -> Iterator[Leaf]:
        """Yield the values of a row, such as ``services/ssh``."""
        section, _, name = pointer.partition("/")
        tree: Tree | None = self.tree.branch(section)
        if name and isinstance(tree, Branch):
            tree = tree.children.get(unescape_key(name))
        if tree is not None:
            yield from _leaves(tree)

    def _row(self, section: str, name: str) -> Branch:
        if section == "services" and name in self.roles:
            self.asked.add(pointer_below("roles", name))
            name = self.roles[name].service
        self.asked.add(pointer_below(section, name))
        return self.tree.branch(section).branch(name)


def _members(names: Branch) -> tuple[str, ...]:
    """Return the members of a set."""
    return tuple(name for name, leaf in names.leaves() if leaf.value is not None)


def _leaves(tree: Tree) -> Iterator[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
        return
    for _, child in sorted(tree.children.items()):
        yield from _leaves(child)


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
