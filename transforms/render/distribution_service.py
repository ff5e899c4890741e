"""Services of the distribution: drop-ins on their units, links that start them or hold them back (rules 11, 12)."""

from __future__ import annotations

from collections.abc import Iterator

from ordain.transforms.artifacts import Artifact
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Branch, Drift, Installed, InstalledUnit, Link, Member, OnChange, OnRemove, Wanted
from ordain.transforms.render import service_directives, sockets_and_timers
from ordain.transforms.render.health import health
from ordain.transforms.render.rendered_item import RenderedItem, from_drafts
from ordain.transforms.render.service_units import ServiceUnits, triggers
from ordain.transforms.render.unit_draft import DROP_IN, UnitDraft
from ordain.transforms.render.unit_links import SERVICES_TARGET, hold_back, mask, wants
from ordain.transforms.render.used_files import NOTHING, reading
from ordain.transforms.systemd import unit_name

USUAL_TARGET = {"socket": "sockets.target", "timer": "timers.target", "path": "paths.target"}
"""Where distributions link a unit, for a machine whose links are not known."""
BOOT_TARGETS = ("default.target", "graphical.target", "multi-user.target", "runlevel3.target", "runlevel5.target")
PULLS = ("Wants", "Requires", "BindsTo", "Upholds", "Requisite")


def render(
    branch: Branch, layout: ServiceUnits, systemd: int, context: service_directives.Context, installed: Installed | None
) -> RenderedItem:
    """The item of a service whose unit the distribution brings."""
    return _Vendor(branch, layout, systemd, context, installed).item()


class _Vendor:
    def __init__(
        self,
        branch: Branch,
        layout: ServiceUnits,
        systemd: int,
        context: service_directives.Context,
        installed: Installed | None,
    ) -> None:
        self.branch, self.layout, self.systemd, self.context, self.installed = (
            branch,
            layout,
            systemd,
            context,
            installed,
        )
        state = branch.leaf("state")
        self.state = Wanted(str(state.value)) if state else Wanted.PRESENT
        self.here = state or branch.here
        self.problems: list[Problem] = []

    def item(self) -> RenderedItem:
        pointer = self.layout.item
        if self.state is Wanted.RUNNING and self.layout.installed is False:
            package = self.context.names.service(self.layout.name, "package")
            hint = f"install the package {package}" if package else "install it, or take `state: running` back"
            self.block(f"{self.layout.unit} is not installed", hint, "NotInstalled")
        if self.state is Wanted.MASKED:
            made = from_drafts(pointer, (), (mask(unit, pointer) for unit in self.all_names()), self.members())
        else:
            drafts = tuple(self.drafts())
            for draft in drafts:
                draft.move_behind_vendor(self.installed)
            made = from_drafts(pointer, drafts, self.links(), self.members())
        return RenderedItem(
            pointer=pointer,
            artifacts=made.artifacts,
            members=made.members,
            problems=(*made.problems, *self.problems),
        )

    def drafts(self) -> Iterator[UnitDraft]:
        main = self.draft(self.layout.unit)
        service_directives.render(self.branch, main, self.context)
        if self.layout.unit == self.layout.socket:
            sockets_and_timers.listen(self.branch.branch("listen"), main, self.context.names)
        if self.layout.unit == self.layout.timer:
            sockets_and_timers.schedule(self.branch.branch("schedule"), main)
        yield main
        if self.layout.socket not in {"", self.layout.unit}:
            socket = self.draft(self.layout.socket)
            sockets_and_timers.listen(self.branch.branch("listen"), socket, self.context.names)
            yield socket
        if self.layout.timer not in {"", self.layout.unit}:
            timer = self.draft(self.layout.timer)
            sockets_and_timers.schedule(self.branch.branch("schedule"), timer)
            yield timer

    def draft(self, unit: str) -> UnitDraft:
        """A drop-in for ``unit``, or the whole unit where the distribution brings none of the name."""
        there = self.installed is None or unit == self.layout.unit or unit in self.installed.units
        return UnitDraft(
            unit=unit,
            item=self.layout.item,
            systemd=self.systemd,
            drop_in=DROP_IN if there else "",
            where=self.branch.where,
        )

    def links(self) -> Iterator[Artifact]:
        if self.state is Wanted.RUNNING:
            for starter in self.layout.starters:
                yield wants(SERVICES_TARGET, starter, self.layout.item)
        if self.state is Wanted.STOPPED:
            self.refuse_pulls()
            for link in self.dependencies():
                yield hold_back(link.target, link.kind, link.name, self.layout.item)

    def dependencies(self) -> Iterator[Link]:
        """Every link that starts it at boot, by any of its names (docs/design/systemd.md, fact 10)."""
        if self.installed is None:
            target = USUAL_TARGET.get(unit_name.suffix(self.layout.unit), "multi-user.target")
            yield Link(target=target, kind="wants", name=self.layout.unit, path="")
            return
        held = self.all_names()
        for link in sorted(self.installed.links, key=lambda link: (link.target, link.kind, link.name)):
            if link.name in held:
                yield link

    def all_names(self) -> tuple[str, ...]:
        """The unit, its starters, and their aliases."""
        names = {self.layout.unit, *self.layout.starters}
        if self.installed:
            names |= set(triggers(self.layout.unit, self.installed))
            names |= {alias for alias, unit in self.installed.aliases.items() if unit in names}
        return tuple(sorted(names))

    def refuse_pulls(self) -> None:
        """What no link holds back: a dependency inside a unit file, D-Bus and udev (rule 12)."""
        if self.installed is None:
            return
        held = frozenset(self.all_names())
        for other in self.installed.units.values():
            pulled = {word for key in PULLS for text in other.values("Unit", key) for word in text.split()} & held
            if pulled and other.name not in held and other.path and not _by_hand(other):
                what = f"{other.name} starts {', '.join(sorted(pulled))} all the same ({other.path})"
                self.block(what, "set `state: masked`", "PulledIn")
        told = {who for name in held for who in self.installed.activated.get(unit_name.template_of(name) or name, ())}
        own = self.installed.units.get(self.layout.unit)
        for bus_name in own.values("Service", "BusName") if own else ():
            if not any(f" {bus_name} " in who for who in told):
                told.add(f"D-Bus starts it for {bus_name}")
        for who in sorted(told):
            self.block(f"{who} all the same", "set `state: masked`", "PulledIn")

    def block(self, what: str, hint: str, code: str) -> None:
        self.problems.append(
            Problem(
                where=self.here.where,
                what=what,
                hint=hint,
                code=code,
                severity=Severity.BLOCKED,
                item=self.layout.item,
            )
        )

    def members(self) -> Iterator[Member]:
        for unit in dict.fromkeys((*self.layout.starters, self.layout.unit)):
            own = unit == self.layout.unit
            read = reading(self.branch, self.layout.name, self.context.names) if own else NOTHING
            starter = unit in self.layout.starters
            state = Wanted.PRESENT if self.state is Wanted.RUNNING and not starter else self.state
            yield Member(
                unit=unit,
                item=self.layout.item,
                wanted=state,
                ours=not own and not self.draft(unit).drop_in,
                starter=starter,
                starts="" if own else self.layout.unit,
                on_change=OnChange(str(self.branch.value("on-change", OnChange.AUTO))),
                on_remove=OnRemove(str(self.branch.value("on-remove", OnRemove.STOP))),
                drift=Drift(str(self.branch.value("drift", Drift.REPORT))),
                stop_after_usec=service_directives.stop_after_usec(self.branch),
                health=health(self.branch, unit) if own else None,
                uses=read.uses,
                check=read.check,
            )


def _by_hand(unit: InstalledUnit) -> bool:
    """Whether a unit is a target that nobody but an admin goes to, such as rescue-ssh.target.

    Those of a boot may be isolated too; what they want by a unit file counts.
    """
    isolated = unit.values("Unit", "AllowIsolate")[-1:] == ("yes",)
    return unit.name.endswith(".target") and isolated and unit.name not in BOOT_TARGETS
