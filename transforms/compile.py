"""The whole pipeline: compiles documents, facts and installed units into artifacts, members and problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ordain.transforms import set_budget
from ordain.transforms.artifacts import Artifact
from ordain.transforms.catalog.fixed_accounts import fixed_accounts
from ordain.transforms.catalog.impossible_matches import impossible_conditions
from ordain.transforms.catalog.names import Names, names_for, shared_versions
from ordain.transforms.catalog.row_templates import expand_rows
from ordain.transforms.document.text.node import pointer_below, unescape_key
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Problem, Severity, Where, blocked, sorted_problems
from ordain.transforms.errors import Refused as Refused
from ordain.transforms.graph import exclusive_boot
from ordain.transforms.graph.account_checks import account_problems
from ordain.transforms.graph.conflicts import find_conflicts
from ordain.transforms.graph.ignored_files import ignored_files
from ordain.transforms.graph.open_file_limits import open_file_limits
from ordain.transforms.graph.unexpanded_text import unexpanded_text
from ordain.transforms.memo import Memo, MemoTable
from ordain.transforms.model import (
    Branch,
    Compiled,
    Document,
    Facts,
    Installed,
    Kind,
    MachineAccounts,
    Member,
    Resolved,
    Tree,
    Wanted,
    strings,
)
from ordain.transforms.render import accounts as render_accounts
from ordain.transforms.render import host, kernel, mounts, placed_files, raw_units, services
from ordain.transforms.render.catalog_usage import CatalogUsage, transforms_digest
from ordain.transforms.render.distribution_service import Target
from ordain.transforms.render.network import network_section
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.sealed_secrets import SecretPaths, read_secrets, render_secrets
from ordain.transforms.render.service_directives import Context
from ordain.transforms.render.service_units import ServiceUnits, clashes, units_of_service
from ordain.transforms.render.unit_references import UnitReferences
from ordain.transforms.render.used_files import configuration_directory, own_files
from ordain.transforms.resolve.resolve import lost_by_renaming, resolve
from ordain.transforms.template.expand import Scope, expand

T = TypeVar("T")


def compile(
    documents: Iterable[Document],
    facts: Facts,
    installed: Installed | None = None,
    *,
    accounts: MachineAccounts | None = None,
    shipped: Iterable[Document] = (),
    memo: Memo | None = None,
) -> Compiled:
    """Return the artifacts, members and problems of ``documents`` on a machine with ``facts``.

    ``installed`` are the unit files of the machine, and ``accounts`` its users and groups, None if they are not known
    (``--os``); then those count that the system has everywhere. ``shipped`` is the transformation database, which
    Transforms among ``documents`` override. Blocked items are left out; their problems say why. ``memo`` holds the
    results of the compile before, and gets those of this one: it changes nothing but the time. Raises `Refused` if the
    documents as a whole are wrong, or too much (`set_budget`).
    """
    with set_budget.one_set():
        return _compile(tuple(documents), facts, installed, accounts, tuple(shipped), memo or Memo())


def _compile(
    documents: tuple[Document, ...],
    facts: Facts,
    installed: Installed | None,
    accounts: MachineAccounts | None,
    shipped: tuple[Document, ...],
    memo: Memo,
) -> Compiled:
    transforms = (*shipped, *documents)
    shared = shared_versions(transforms)
    resolved, problems = resolve(documents, facts, shared)
    database = tuple(document for document in transforms if document.kind is Kind.TRANSFORM)
    table = memo.table("names", resolved.facts, shared)
    neutral, wrong = table.get_or_make("names", database, lambda: names_for(database, resolved.facts, shared))
    renderer = _Renderer(resolved, replace(neutral, asked=set()), installed, memo)
    items = tuple(renderer.items())
    renderer.problems = [p for p in renderer.problems if p.item not in renderer.usage.doubtful]
    renderer.problems += _lost_by_renaming(documents, facts, shared, renderer)
    all_problems = [
        *problems,
        *impossible_conditions(documents),
        *wrong,
        *renderer.problems,
        *(p for item in items for p in item.problems),
    ]
    between = find_conflicts(
        [_with(item, renderer.problems) for item in items],
        installed,
        resolved.facts.systemd,
        renderer.names.units() if installed is None else frozenset(),
        renderer.where,
    )
    all_problems += between
    known = fixed_accounts(resolved.facts) if accounts is None else accounts
    all_problems += account_problems(items, known, renderer.where)
    all_problems += unexpanded_text(resolved.tree)
    all_problems += open_file_limits(resolved.tree, resolved.facts)
    all_problems += ignored_files((a for item in items for a in item.artifacts), resolved.facts, renderer.where)
    blocked_items = {p.item for p in all_problems if p.severity is Severity.BLOCKED}
    kept = [item for item in items if item.pointer not in blocked_items]
    kept += render_secrets(renderer.secrets, [artifact for item in kept for artifact in item.artifacts])
    boot = renderer.boot(items, kept)
    all_problems += boot.problems
    kept.append(boot)
    return Compiled(
        resolved=resolved,
        artifacts=_unique(artifact for item in kept for artifact in item.artifacts),
        members=_one_per_unit(member for item in kept for member in item.members),
        catalog_uses=tuple(renderer.usage.uses(item.pointer for item in items)),
        transforms=transforms_digest(transforms),
        problems=sorted_problems(all_problems),
    )


def _lost_by_renaming(
    documents: tuple[Document, ...], facts: Facts, shared: Mapping[str, str], renderer: _Renderer
) -> Iterator[Problem]:
    """Yield a problem for each document that sets the host name and would no longer match under that name.

    The machine would change its name at every other apply.
    """
    host, _ = expand(renderer.tree.branch("host"), renderer.scope, "host")
    leaf = host.leaf("hostname")
    if leaf is None:
        return
    for lost in lost_by_renaming(documents, facts, shared, str(leaf.value)):
        what = f"with the name {leaf.value}, this machine would lose the {lost.kind} {lost.name} (at {lost.where})"
        hint = "match that document on machine-id or mac, or set the host name that it matches"
        yield blocked("host", leaf.where, what, hint, "Renamed")


def _with(item: RenderedItem, problems: Iterable[Problem]) -> RenderedItem:
    return replace(item, problems=(*item.problems, *(p for p in problems if p.item == item.pointer)))


def _one_per_unit(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return one member for each unit, sorted: of two, the one whose documents want a state."""
    by_unit: dict[str, Member] = {}
    for member in members:
        if member.unit not in by_unit or by_unit[member.unit].wanted is Wanted.PRESENT:
            by_unit[member.unit] = member
    return tuple(by_unit[unit] for unit in sorted(by_unit))


def _unique(artifacts: Iterable[Artifact]) -> tuple[Artifact, ...]:
    """Return the artifacts by path, each path once, since two items may hold back one link."""
    by_path = {artifact.path: artifact for artifact in artifacts}
    return tuple(by_path[path] for path in sorted(by_path))


_WHOLE_SECTIONS: Mapping[str, Callable[[Branch, Names], RenderedItem]] = {
    "sysctl": kernel.render_sysctl,
    "modules": kernel.render_modules,
    "host": host.render,
}


class _Renderer:
    def __init__(self, resolved: Resolved, neutral: Names, installed: Installed | None, memo: Memo) -> None:
        self.secrets, wrong = read_secrets(resolved.tree)
        paths = SecretPaths(resolved.tree, self.secrets)
        self.tree, self.systemd, self.installed = paths.tree, resolved.facts.systemd, installed
        values = plain(resolved.tree.branch("values"))
        assert isinstance(values, dict)
        self.names = expand_rows(neutral, resolved.facts, values)
        self.scope = Scope(facts=resolved.facts, values=values, path_of=self.names.path)
        self.usage = CatalogUsage(self.names)
        remote = mounts.remote_mounts(resolved.tree.branch("mounts"))
        self.mounts = {path.rstrip("/"): (path.rstrip("/") or "/") in remote for path in resolved.tree.branch("mounts")}
        self.problems: list[Problem] = [*wrong, *paths.problems]
        self.memo = memo
        self.inputs = (resolved.facts, resolved.tree.branch("values").children, neutral.tree, neutral.faults, installed)

    def where(self, pointer: str) -> Where:
        """Return the place of an item in the documents."""
        tree: Tree | None = self.tree
        for part in pointer.split("/"):
            tree = tree.children.get(unescape_key(part)) if isinstance(tree, Branch) else None
        return Where(pointer=pointer) if tree is None else tree.where

    def items(self) -> Iterator[RenderedItem]:
        yield from map(self.usage.block_doubtful, self.each())

    def each(self) -> Iterator[RenderedItem]:
        yield from self.services()
        for path, branch in self.branches("mounts"):
            yield mounts.render_mount(path, branch, pointer_below("mounts", path), self.systemd, self.mounts)
        for path, branch in self.branches("swaps"):
            yield mounts.render_swap(path, branch, pointer_below("swaps", path), self.systemd)
        for name, branch in self.branches("units"):
            yield raw_units.render(name, branch, pointer_below("units", name), self.systemd, self.installed)
        for path, branch in self.branches("files", placed_files.templated):
            yield placed_files.render(path, branch, pointer_below("files", path), self.names, self.mounts)
        for name, branch in self.branches("groups"):
            yield render_accounts.render_group(name, branch, pointer_below("groups", name), self.names)
        for name, branch in self.branches("users"):
            yield render_accounts.render_user(name, branch, pointer_below("users", name), self.names)
        yield from self.whole()
        network = self.tree.branch("network")
        for item in network_section.render(network, self.scope, self.names, self.systemd) if network else ():
            self.names.renderer()  # recorded as used by each device
            yield item

    def boot(self, items: Iterable[RenderedItem], kept: Iterable[RenderedItem]) -> RenderedItem:
        """Return the item of the section that is about all other items; ``kept`` are those that this machine gets."""
        tree, problems = expand(self.tree.branch("boot"), self.scope, "boot")
        made = exclusive_boot.render(tree, items, kept, self.installed)
        return replace(made, problems=(*problems, *made.problems))

    def whole(self) -> Iterator[RenderedItem]:
        """Yield the items of the sections that are one item each."""
        for section in _WHOLE_SECTIONS:
            if not self.tree.branch(section):
                continue
            tree, problems = expand(self.tree.branch(section), self.scope, section)
            item = _WHOLE_SECTIONS[section](tree, self.names)
            yield replace(item, artifacts=(), members=(), problems=(*problems, *item.problems)) if problems else item

    def services(self) -> Iterator[RenderedItem]:
        known: dict[str, ServiceUnits] = {}
        entries: dict[str, Branch] = {}
        table = self.memo.table("service units", *self.inputs)
        for name, branch in self.tree.branch("services").branches():
            entries[name], units, problems = self.recall(table, name, branch, partial(self.service_units, name, branch))
            self.problems += problems
            self.usage.record(f"services/{name}")
            if units:
                known[name] = units
            else:
                yield RenderedItem(pointer=f"services/{name}", problems=problems)
        self.problems += clashes(known, self.tree.branch("services"))
        context = Context(
            names=self.names,
            references=UnitReferences(services=known, names=self.names),
            mounts=tuple(self.mounts),
        )
        made = self.made(known)
        target = Target(systemd=self.systemd, context=context, installed=self.installed, made=made)
        table = self.memo.table("services", *self.inputs, known, self.mounts, made)
        for name, units in known.items():
            yield self.recall(table, name, entries[name], partial(self.service, entries[name], units, target))

    def made(self, services: Mapping[str, ServiceUnits]) -> frozenset[str]:
        """Return the units that the documents define, with the aliases of raw ones."""
        raw = {name: branch for name, branch in self.tree.branch("units").branches() if not name.endswith(".d")}
        aliases = (branch.branch("Install").leaf("Alias") for branch in raw.values())
        words = {word for leaf in aliases if leaf for text in strings(leaf.value) for word in text.split()}
        return frozenset(raw) | words | {unit for s in services.values() if s.ours for unit in s.with_files}

    def recall(self, table: MemoTable, name: str, branch: Branch, make: Callable[[], T]) -> T:
        """Return the result of ``make`` for ``branch``, or of the last compile, and record the same names as used."""

        set_budget.current().where = replace(branch.where, pointer=pointer_below("services", name))

        def made() -> tuple[T, frozenset[str]]:
            before = frozenset(self.names.asked)
            self.names.asked.clear()
            result = make()
            asked = frozenset(self.names.asked)
            self.names.asked.update(before)
            return result, asked

        result, asked = table.get_or_make(name, branch, made)
        self.names.asked.update(asked)
        return result

    def service_units(self, name: str, branch: Branch) -> tuple[Branch, ServiceUnits | None, tuple[Problem, ...]]:
        """Return one service with its templates expanded, its units if it can have any, and the problems with both."""
        entry, wrong = self.expanded(branch, pointer_below("services", name), placed_files.templated_within)
        units, problems = units_of_service(name, entry, self.names, self.installed)
        return entry, units, (*wrong, *problems)

    def service(self, entry: Branch, units: ServiceUnits, target: Target) -> RenderedItem:
        """Return the item of a service with its files; a problem with a file is a problem with the service."""
        item = services.render(entry, units, target)
        directory = configuration_directory(units.name, entry, self.names)
        for branch in (entry, *(b for _, b in entry.branch("instances").branches())):
            for _, path, own in own_files(branch, directory):
                file = placed_files.render(path, own, item.pointer, self.names, self.mounts)
                artifacts, problems = (*item.artifacts, *file.artifacts), (*item.problems, *file.problems)
                item = replace(item, artifacts=artifacts, problems=problems)
        return item

    def expanded(
        self, branch: Branch, pointer: str, prepared: Callable[[Branch], Branch]
    ) -> tuple[Branch, tuple[Problem, ...]]:
        return expand(prepared(branch), self.scope, pointer, instance="instances" in branch)

    def branches(
        self, section: str, prepared: Callable[[Branch], Branch] = lambda branch: branch
    ) -> Iterator[tuple[str, Branch]]:
        """Yield the entries of a section, ``prepared``, with their templates expanded."""
        for name, branch in self.tree.branch(section).branches():
            pointer = pointer_below(section, name)
            expanded, problems = self.expanded(branch, pointer, prepared)
            self.problems += problems
            self.usage.record(pointer)
            yield name, expanded
