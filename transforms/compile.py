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
from ordain.transforms.catalog.roles import with_roles
from ordain.transforms.catalog.row_templates import expand_rows
from ordain.transforms.catalog.setting_systems import systems_with_setting
from ordain.transforms.document.text.node import pointer_below, unescape_key
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Problem, Severity, Where, blocked, sorted_problems
from ordain.transforms.errors import Refused as Refused
from ordain.transforms.graph import exclusive_boot
from ordain.transforms.graph.account_checks import account_problems
from ordain.transforms.graph.conflicts import find_conflicts
from ordain.transforms.graph.ignored_files import ignored_files
from ordain.transforms.graph.open_file_limits import open_file_limits
from ordain.transforms.graph.overwritten_files import overwritten_files
from ordain.transforms.graph.powerless_groups import powerless_groups
from ordain.transforms.graph.unexpanded_text import unexpanded_text
from ordain.transforms.graph.unread_files import unread_files
from ordain.transforms.machine.generated_units import unit_made_from
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
from ordain.transforms.package_set import PackageState
from ordain.transforms.render import accounts as render_accounts
from ordain.transforms.render import host, kernel, mounts, placed_files
from ordain.transforms.render import packages as render_packages
from ordain.transforms.render.catalog_usage import CatalogUsage, transforms_digest
from ordain.transforms.render.packages import package_clashes, package_set
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.sealed_secrets import SecretPaths, read_secrets, render_secrets
from ordain.transforms.render.services import raw_units, services
from ordain.transforms.render.services.distribution_service import Target
from ordain.transforms.render.services.service_directives import Context
from ordain.transforms.render.services.service_units import ServiceUnits, clashes, units_of_service
from ordain.transforms.render.services.unit_references import UnitReferences
from ordain.transforms.render.settings.additions import Addition, add, with_moved_keys, without_moved_keys
from ordain.transforms.render.used_files import configuration_directory, own_files
from ordain.transforms.resolve.other_machines import OtherMachines, branch_uses_machines, uses_machines
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
    resolved = replace(resolved, tree=with_moved_keys(resolved.tree))
    database = tuple(document for document in transforms if document.kind is Kind.TRANSFORM)
    table = memo.table("names", resolved.facts, shared)
    neutral, wrong = table.get_or_make("names", database, lambda: names_for(database, resolved.facts, shared))
    machines = OtherMachines(documents)
    reads = memo.table("uses machines")
    others = [d for d in documents if reads.get_or_make(f"{d.where}", d, partial(uses_machines, d))]
    renderer = _Renderer(resolved, replace(neutral, asked=set()), installed, memo, machines, bool(others))
    renderer.elsewhere = partial(systems_with_setting, documents=transforms)
    items = tuple(renderer.items())
    additions = (*renderer.additions, *_providers(resolved.tree.branch("services"), renderer.names))
    resolved = replace(resolved, tree=add(resolved.tree, additions))
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
    all_problems += package_clashes(items, renderer.where)
    known = fixed_accounts(resolved.facts) if accounts is None else accounts
    all_problems += account_problems(items, known, renderer.where)
    all_problems += unexpanded_text(resolved.tree)
    all_problems += open_file_limits(resolved.tree, resolved.facts)
    artifacts = tuple(a for item in items for a in item.artifacts)
    all_problems += powerless_groups(resolved.tree.branch("users"), artifacts, renderer.names)
    all_problems += ignored_files(artifacts, resolved.facts, renderer.where)
    all_problems += overwritten_files(artifacts, resolved.facts, renderer.where)
    all_problems += unread_files(artifacts, renderer.names, renderer.where)
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
        packages=package_set(kept, renderer.names),
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


def _providers(services: Branch, names: Names) -> Iterator[Addition]:
    """Yield the provider of each role that has an entry, as if the entry named it: plan and `explain` show it."""
    for name, entry in services.branches():
        role = names.roles.get(name)
        if role and role.service and "provider" not in entry:
            yield Addition(path=("services", name, "provider"), leaf=replace(role.place, value=role.service))


def _with(item: RenderedItem, problems: Iterable[Problem]) -> RenderedItem:
    return replace(item, problems=(*item.problems, *(p for p in problems if p.item == item.pointer)))


def _one_per_unit(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return one member for each unit, sorted: of two, the one that wants a state. It uses the files of both."""
    by_unit: dict[str, Member] = {}
    for member in members:
        other = by_unit.get(member.unit)
        if other is None:
            by_unit[member.unit] = member
            continue
        first, second = (other, member) if other.wanted is not Wanted.PRESENT else (member, other)
        uses = tuple(sorted((dict(second.uses) | dict(first.uses)).items()))
        by_unit[member.unit] = replace(first, uses=uses, check=first.check or second.check)
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
    def __init__(
        self,
        resolved: Resolved,
        neutral: Names,
        installed: Installed | None,
        memo: Memo,
        machines: OtherMachines,
        machines_used: bool,
    ) -> None:
        self.secrets, wrong = read_secrets(resolved.tree)
        paths = SecretPaths(resolved.tree, self.secrets)
        self.tree, self.systemd, self.installed = paths.tree, resolved.facts.systemd, installed
        values = plain(resolved.tree.branch("values"))
        assert isinstance(values, dict)
        self.names = expand_rows(neutral, resolved.facts, values)
        # Of a role the documents may say which packages it has, and they cannot decide about it at the same time.
        wanted = self.packages() if self.names.tree.branch("roles") else ()
        self.names = with_roles(self.names, self.tree.branch("services"), wanted, installed, resolved.facts)
        self.scope = Scope(
            facts=resolved.facts,
            values=values,
            path_of=self.names.path,
            service_of=self.names.service_values,
            machines=machines,
        )
        self.machines, self.machines_used = machines, machines_used
        self.usage = CatalogUsage(self.names)
        remote = mounts.remote_mounts(resolved.tree.branch("mounts"))
        self.mounts = {path.rstrip("/"): (path.rstrip("/") or "/") in remote for path in resolved.tree.branch("mounts")}
        self.problems: list[Problem] = [*wrong, *paths.problems]
        self.memo = memo
        self.elsewhere: Callable[[str], tuple[str, ...]] = lambda _: ()
        self.additions: list[Addition] = []
        values_of_documents = resolved.tree.branch("values").children
        roles = self.names.roles
        self.inputs = (resolved.facts, values_of_documents, neutral.tree, neutral.faults, installed, roles)

    def where(self, pointer: str) -> Where:
        """Return the place of an item in the documents."""
        tree: Tree | None = self.tree
        for part in pointer.split("/"):
            tree = tree.children.get(unescape_key(part)) if isinstance(tree, Branch) else None
        return Where(pointer=pointer) if tree is None else tree.where

    def items(self) -> Iterator[RenderedItem]:
        yield from map(self.usage.block_doubtful, self.each())

    def each(self) -> Iterator[RenderedItem]:
        yield from self.settings()
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
        for name, branch in self.branches("packages"):
            yield render_packages.render(name, branch, pointer_below("packages", name), self.names)
        yield from self.whole()
        if network := self.tree.branch("network"):
            from ordain.transforms.render.network import network_section  # large, and a first boot may have none

            for item in network_section.render(network, self.scope, self.names, self.systemd):
                self.names.renderer()  # recorded as used by each device
                yield item

    def boot(self, items: Iterable[RenderedItem], kept: Iterable[RenderedItem]) -> RenderedItem:
        """Return the item of the section that is about all other items; ``kept`` are those that this machine gets."""
        tree, problems = expand(self.tree.branch("boot"), self.scope, "boot")
        made = exclusive_boot.render(tree, items, kept, self.installed)
        return replace(made, problems=(*problems, *made.problems))

    def settings(self) -> Iterator[RenderedItem]:
        """Yield the items of settings, and add their values to the sections that are rendered after them."""
        if not self.tree.branch("settings"):
            return
        from ordain.transforms.render.settings.setting_writes import SettingsMachine  # which few first boots need
        from ordain.transforms.render.settings.settings import render_settings

        machine = SettingsMachine(
            names=self.names,
            scope=self.scope,
            installed=self.installed,
            mounts=self.mounts,
            packages=self.packages(),
        )
        for setting in render_settings(self.tree, machine, self.elsewhere):
            yield setting.item
            if setting.item.pointer not in self.usage.doubtful:
                self.additions += setting.additions
        self.tree = add(self.tree, self.additions)

    def whole(self) -> Iterator[RenderedItem]:
        """Yield the items of the sections that are one item each."""
        for section in _WHOLE_SECTIONS:
            branch = without_moved_keys(section, self.tree.branch(section))
            if not branch:
                continue
            tree, problems = expand(branch, self.scope, section)
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
        packages = self.packages()
        generated = self.generated()
        target = Target(
            systemd=self.systemd,
            context=context,
            installed=self.installed,
            made=made,
            packages=packages,
            generated=generated,
        )
        table = self.memo.table("services", *self.inputs, known, self.mounts, made, packages, generated)
        for name, units in known.items():
            yield self.recall(table, name, entries[name], partial(self.service, entries[name], units, target))

    def made(self, services: Mapping[str, ServiceUnits]) -> frozenset[str]:
        """Return the units that the documents define, with the aliases of raw ones."""
        raw = {name: branch for name, branch in self.tree.branch("units").branches() if not name.endswith(".d")}
        aliases = (branch.branch("Install").leaf("Alias") for branch in raw.values())
        words = {word for leaf in aliases if leaf for text in strings(leaf.value) for word in text.split()}
        return frozenset(raw) | words | {unit for s in services.values() if s.ours for unit in s.with_files}

    def generated(self) -> Mapping[str, str]:
        """Return the files of the documents from which another generator makes a unit, by that unit."""
        files = self.tree.branch("files").branches()
        units = {unit_made_from(path, str(file.value("content", ""))): path for path, file in files}
        return {unit: path for unit, path in units.items() if unit}

    def packages(self) -> frozenset[str]:
        """Return the packages that the documents want to be installed, by their names on this system."""
        entries = self.tree.branch("packages").branches()
        absent = PackageState.ABSENT
        names = replace(self.names, asked=set())  # no service uses these rows
        wanted = [name for name, entry in entries if entry.value("state") != absent]
        return frozenset(package for name in wanted for package in names.packages(name))

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

        others = self.machines.digest if self.machines_used and branch_uses_machines(branch) else None
        result, asked = table.get_or_make(name, branch if others is None else (branch, others), made)
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
