"""Services of the distribution: drop-ins on their units, and links that start them or hold them back.

See docs/design/documents.md, rules 11 and 12.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ordain.transforms.artifacts import UnitLink
from ordain.transforms.errors import Problem, blocked, warning
from ordain.transforms.model import (
    ActivationSource,
    Branch,
    Drift,
    Installed,
    InstalledUnit,
    Link,
    Member,
    OnChange,
    OnRemove,
    Wanted,
)
from ordain.transforms.render.rendered_item import RenderedItem, from_drafts
from ordain.transforms.render.services import service_directives, sockets_and_timers
from ordain.transforms.render.services.health_check import health_check
from ordain.transforms.render.services.service_units import ServiceUnits, triggers
from ordain.transforms.render.unit_draft import DROP_IN, UnitDraft
from ordain.transforms.render.unit_links import SERVICES_TARGET, hold_back, mask, wants
from ordain.transforms.render.used_files import UsedFiles, used_files
from ordain.transforms.systemd import unit_name

USUAL_TARGET = {"socket": "sockets.target", "timer": "timers.target", "path": "paths.target"}
"""The target that starts a unit of this type on most distributions, for a machine whose links are not known."""
BOOT_TARGETS = ("default.target", "graphical.target", "multi-user.target", "runlevel3.target", "runlevel5.target")
PULLS = ("Wants", "Requires", "BindsTo", "Upholds", "Requisite")
"""Dependencies in a unit file that start the other unit, or refuse to start without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The machine to render services for; ``systemd`` is its major version, ``made`` are units of the documents.

    ``packages`` are those that the documents want to be installed, ``generated`` the files of the documents from which
    another generator makes a unit, by the unit.
    """

    systemd: int
    context: service_directives.Context
    installed: Installed | None
    made: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    generated: Mapping[str, str] = field(default_factory=dict)


def render(branch: Branch, units: ServiceUnits, target: Target) -> RenderedItem:
    """Return the item of a service whose unit the distribution installs."""
    return _DistributionService(branch, units, target).item()


def member_of(branch: Branch, units: ServiceUnits, *, ours: bool) -> Member:
    """Return what all members of a service have in common; ``unit`` and ``wanted`` are placeholders."""
    return Member(
        unit="",
        item=units.item,
        wanted=Wanted.PRESENT,
        ours=ours,
        on_change=OnChange(str(branch.value("on-change", OnChange.AUTO))),
        on_remove=OnRemove(str(branch.value("on-remove", OnRemove.STOP))),
        drift=Drift(str(branch.value("drift", Drift.REPORT))),
        stop_after_usec=service_directives.stop_after_usec(branch),
    )


class _DistributionService:
    def __init__(self, branch: Branch, units: ServiceUnits, target: Target) -> None:
        self.branch, self.units, self.target = branch, units, target
        self.names, self.installed = target.context.names, target.installed
        state = branch.leaf("state")
        self.state = Wanted(str(state.value)) if state else Wanted.PRESENT
        self.place = state or branch.here
        self.problems: list[Problem] = []

    def item(self) -> RenderedItem:
        pointer = self.units.item
        if self.state is Wanted.RUNNING:
            self.report_missing()
        if self.state is Wanted.MASKED:
            item = from_drafts(pointer, (), (mask(unit, pointer) for unit in self.all_names()), self.members())
        else:
            drafts = tuple(self.drafts())
            for draft in drafts:
                draft.move_behind_vendor(self.installed)
            item = from_drafts(pointer, drafts, self.links(), self.members())
        return replace(item, problems=(*item.problems, *self.problems))

    def report_missing(self) -> None:
        """Block the item if its unit is not installed, and warn of further units that are not."""
        packages = self.names.packages(self.units.name)
        wanted = [package for package in packages if package in self.target.packages]
        hint = f"install the {_counted('package', packages)}" if packages else "install it, or remove `state: running`"
        if wanted:
            hint = f"the documents want the {_counted('package', wanted)}: it starts after the installation"
        if source := self.made_from():
            hint = f"a generator makes it from {source}, once that is placed: is the generator installed?"
            hint += " `systemctl daemon-reload` runs it again"
        if self.units.installed is False and not self.is_made(self.units.unit):
            self.block(f"{self.units.unit} is not installed", hint, "NotInstalled")
        elif self.units.missing:
            what = f"{', '.join(self.units.missing)}, a part of {self.units.name}, is not installed"
            self.problems.append(warning(self.units.item, self.place.where, what, hint, "NotInstalled"))

    def made_from(self) -> str:
        """Return the file of the documents from which another generator makes the unit, ``""`` if there is none."""
        generated = self.target.generated
        return generated.get(self.units.unit) or generated.get(unit_name.template_of(self.units.unit), "")

    def is_made(self, unit: str) -> bool:
        """Return whether the documents themselves define the unit, or its template."""
        return bool({unit, unit_name.template_of(unit)} & self.target.made)

    def drafts(self) -> Iterator[UnitDraft]:
        main = self.draft(self.units.unit)
        service_directives.render(self.branch, main, self.target.context)
        if self.units.unit == self.units.socket:
            sockets_and_timers.add_listen(self.branch.branch("listen"), main, self.names)
        if self.units.unit == self.units.timer:
            sockets_and_timers.add_schedule(self.branch.branch("schedule"), main)
        yield main
        for name, entry in self.branch.branch("instances").branches():
            draft = self.draft(unit_name.instance_of(self.units.unit, name))
            service_directives.render(entry, draft, self.target.context)
            yield draft
        if self.units.socket not in {"", self.units.unit}:
            socket = self.draft(self.units.socket)
            sockets_and_timers.add_listen(self.branch.branch("listen"), socket, self.names)
            yield socket
        if self.units.timer not in {"", self.units.unit}:
            timer = self.draft(self.units.timer)
            sockets_and_timers.add_schedule(self.branch.branch("schedule"), timer)
            yield timer

    def draft(self, unit: str) -> UnitDraft:
        """Return a drop-in for ``unit``, or the whole unit if the distribution installs none of the name."""
        own = (self.units.unit, *self.units.units)
        drop_in = self.installed is None or unit in own or unit in self.installed.units
        return UnitDraft(
            unit=unit,
            item=self.units.item,
            systemd=self.target.systemd,
            drop_in=DROP_IN if drop_in else "",
            where=self.branch.where,
        )

    def links(self) -> Iterator[UnitLink]:
        if self.state is Wanted.RUNNING:
            for starter in self.units.starters:
                yield wants(SERVICES_TARGET, starter, self.units.item)
        if self.state is Wanted.STOPPED:
            self.block_other_starts()
            for link in self.dependencies():
                yield hold_back(link.target, link.kind, link.name, self.units.item)

    def dependencies(self) -> Iterator[Link]:
        """Yield every link that starts the unit at boot, under any of its names (docs/design/systemd.md, fact 10)."""
        if self.installed is None:
            for unit in (self.units.unit,) if self.units.socket or self.units.timer else self.units.starters:
                target = USUAL_TARGET.get(unit_name.unit_type(unit), "multi-user.target")
                yield Link(target=target, kind="wants", name=unit, path="")
            return
        held = self.all_names()
        for link in sorted(self.installed.links, key=lambda link: (link.target, link.kind, link.name)):
            if link.name in held:
                yield link

    def all_names(self) -> tuple[str, ...]:
        """Return the unit, the units that start it, and the aliases of both."""
        names = {*self.units.units, *self.units.starters}
        if self.installed:
            names |= {trigger for unit in self.units.units for trigger in triggers(unit, self.installed)}
            names |= {alias for alias, unit in self.installed.aliases.items() if unit in names}
        return tuple(sorted(names))

    def block_other_starts(self) -> None:
        """Block the item if a unit file, D-Bus or udev starts it, too (docs/design/documents.md, rule 12)."""
        if self.installed is None:
            return
        held = frozenset(self.all_names())
        for other in self.installed.units.values():
            pulled = {word for key in PULLS for text in other.values("Unit", key) for word in text.split()} & held
            if pulled and other.name not in held and other.path and not _only_isolated(other):
                what = f"{other.name} ({other.path}) starts {', '.join(sorted(pulled))}, even with `state: stopped`"
                self.block(what, "set `state: masked`", "PulledIn")
        sources = {
            source
            for name in held
            for source in self.installed.activation_sources.get(unit_name.template_of(name) or name, ())
        }
        unit = self.installed.units.get(self.units.unit)
        known = {source.bus_name for source in sources}
        bus_names = unit.values("Service", "BusName") if unit else ()
        sources |= {ActivationSource(bus_name=name) for name in bus_names if name not in known}
        for what in sorted(map(_start_by, sources)):
            self.block(f"{what}, even with `state: stopped`", "set `state: masked`", "PulledIn")

    def block(self, what: str, hint: str, code: str) -> None:
        self.problems.append(blocked(self.units.item, self.place.where, what, hint, code))

    def members(self) -> Iterator[Member]:
        for unit in dict.fromkeys((*self.units.starters, *self.units.units)):
            runs = unit in self.units.units
            instance = self.branch.branch("instances").branch(unit.partition("@")[2].rpartition(".")[0])
            main = unit == self.units.unit or unit_name.template_of(unit) == self.units.unit
            # A further socket or timer reads no file, and could not be restarted while its service runs.
            reads = main or (runs and unit_name.unit_type(unit) == "service")
            used = used_files(self.branch, self.units.name, self.names, instance) if reads else UsedFiles()
            uses = dict(used.uses)
            if main and (source := self.made_from()):
                uses.setdefault(source, OnChange.RESTART)  # a reload would leave the process with the old unit
            starter = unit in self.units.starters
            ours = unit in (self.units.socket, self.units.timer) and not runs and not self.draft(unit).drop_in
            yield replace(
                member_of(self.branch, self.units, ours=ours or self.is_made(unit)),
                unit=unit,
                wanted=Wanted.PRESENT if self.state is Wanted.RUNNING and not starter else self.state,
                starter=starter,
                starts="" if runs else self.units.unit,
                health=(health_check(instance, unit) or health_check(self.branch, unit)) if main else None,
                uses=tuple(sorted(uses.items())),
                check=used.check,
            )


def _counted(noun: str, names: Sequence[str]) -> str:
    """Return ``names`` after their noun: "package a", "packages a and b"."""
    return f"{noun if len(names) == 1 else f'{noun}s'} {' and '.join(names)}"


def _start_by(source: ActivationSource) -> str:
    reason = f"D-Bus starts it for {source.bus_name}" if source.bus_name else "udev starts it for a device"
    return f"{reason} ({source.path})" if source.path else reason


def _only_isolated(unit: InstalledUnit) -> bool:
    """Return whether a unit is a target that only an administrator starts, such as rescue-ssh.target.

    The targets of a boot may be isolated too, but what their unit files want is started at boot.
    """
    isolated = unit.values("Unit", "AllowIsolate")[-1:] == ("yes",)
    return unit.name.endswith(".target") and isolated and unit.name not in BOOT_TARGETS
