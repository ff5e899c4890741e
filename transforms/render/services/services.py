"""The entries of ``services`` as items: unit, socket, timer, instances, drop-ins, links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ordain.transforms.artifacts import UnitLink
from ordain.transforms.model import Branch, Member, Wanted
from ordain.transforms.render.rendered_item import RenderedItem, from_drafts
from ordain.transforms.render.services import distribution_service, service_directives, sockets_and_timers
from ordain.transforms.render.services.distribution_service import Target, member_of
from ordain.transforms.render.services.health_check import health_check
from ordain.transforms.render.services.service_units import ServiceUnits
from ordain.transforms.render.unit_draft import DROP_IN, UnitDraft
from ordain.transforms.render.unit_links import SERVICES_TARGET, mask, wants
from ordain.transforms.render.used_files import used_files
from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.checks.doubtful_values import is_endless

EARLY_TARGET = "sysinit.target"
EARLY = {
    "DefaultDependencies": "no",
    "After": "local-fs.target",
    "Before": f"{EARLY_TARGET} shutdown.target",
    "Conflicts": "shutdown.target",
}
EARLY_TIMEOUT = "30s"
SURVIVES_ISOLATE = {
    "IgnoreOnIsolate": "yes",
    "Conflicts": "rescue.target emergency.target",
    "Before": "rescue.target emergency.target",
}
"""Directives without which `isolate` would stop the unit for good; with them only rescue mode stops it.

See docs/design/systemd.md, fact 14.
"""
ENDS_BOOT = ("FailureAction", "SuccessAction", "StartLimitAction", "JobTimeoutAction", "RebootArgument")
"""Directives by which one early unit could keep the machine from booting (docs/design/contract.md, rule 11)."""


def render(branch: Branch, units: ServiceUnits, target: Target) -> RenderedItem:
    """Return the item of one service."""
    if units.ours:
        return _OwnService(branch, units, target).item()
    return distribution_service.render(branch, units, target)


class _OwnService:
    def __init__(self, branch: Branch, units: ServiceUnits, target: Target) -> None:
        self.branch, self.units, self.target = branch, units, target
        self.state = Wanted(str(branch.value("state", "running")))
        self.early = branch.value("phase") == "early"

    def item(self) -> RenderedItem:
        pointer = self.units.item
        if self.state is Wanted.MASKED:
            masked = sorted({self.units.unit, *self.units.units, *self.units.starters})
            return from_drafts(pointer, (), (mask(unit, pointer) for unit in masked), self.members())
        return from_drafts(pointer, self.drafts(), self.links(), self.members())

    def draft(self, unit: str, drop_in: str = "") -> UnitDraft:
        return UnitDraft(unit=unit, item=self.units.item, systemd=self.target.systemd, drop_in=drop_in)

    def drafts(self) -> Iterator[UnitDraft]:
        main = self.draft(self.units.unit)
        service_directives.render(self.branch, main, self.target.context)
        # With Type=simple, the start of a service whose program is missing would succeed.
        main.set_defaults("Service", {"Type": "exec"}, "a program that cannot be run fails the start")
        self.set_boot_defaults(main)
        yield main
        for name, entry in self.branch.branch("instances").branches():
            draft = self.draft(unit_name.instance_of(self.units.unit, name), DROP_IN)
            service_directives.render(entry, draft, self.target.context)
            yield draft
        if self.units.socket:
            socket = self.draft(self.units.socket)
            self.describe(socket, "Sockets of")
            sockets_and_timers.add_listen(self.branch.branch("listen"), socket, self.target.context.names)
            service_directives.add_raw(self.branch, socket, {"Socket"})
            self.set_boot_defaults(socket)
            yield socket
        if self.units.timer:
            timer = self.draft(self.units.timer)
            self.describe(timer, "Schedule of")
            sockets_and_timers.add_schedule(self.branch.branch("schedule"), timer)
            if (remain := self.branch.leaf("remain")) and remain.value is True:
                what = (
                    "a service that remains active is started once by its schedule, and never again (systemd.timer(5))"
                )
                timer.warn(remain, what, "remove remain", "Doubtful")
            service_directives.add_raw(self.branch, timer, {"Timer"})
            self.set_boot_defaults(timer)
            yield timer

    def describe(self, draft: UnitDraft, prefix: str) -> None:
        description = self.branch.leaf("description")
        name = str(description.value) if description else self.units.name
        draft.set("Unit", "Description", f"{prefix} {name}", description or self.branch.here)

    def set_boot_defaults(self, draft: UnitDraft) -> None:
        """Add the directives for boot, isolate, rescue mode and shutdown."""
        if not self.early:
            why = "isolate leaves it alone, rescue and emergency stop it"
            draft.set_defaults("Unit", SURVIVES_ISOLATE, why)
            return
        draft.set_defaults("Unit", EARLY, "early: a part of the boot")
        self.keep_boot_safe(draft)

    def keep_boot_safe(self, draft: UnitDraft) -> None:
        """Block an early unit that could stop the boot, and limit how long the boot waits for it."""
        place = self.branch.here
        for line in tuple(draft.lines):
            if line.key in ENDS_BOOT:
                draft.block(place, f"an early service may not have {line.key}=", "use `phase: main`", "Vital")
            if line.key in {"TimeoutStartSec", "TimeoutSec"} and is_endless(line.value):
                draft.block(place, "an early service needs a finite start timeout", "set `start-timeout`", "Vital")
        if draft.unit.endswith(".service") and not any(line.key == "TimeoutStartSec" for line in draft.lines):
            draft.set_defaults("Service", {"TimeoutStartSec": EARLY_TIMEOUT}, "early: the boot waits no longer for it")

    def links(self) -> Iterator[UnitLink]:
        if self.state is Wanted.RUNNING:
            goal = EARLY_TARGET if self.early else SERVICES_TARGET
            for starter in self.units.starters:
                yield wants(goal, starter, self.units.item)

    def members(self) -> Iterator[Member]:
        base = replace(member_of(self.branch, self.units, ours=True), wanted=self.state, early=self.early)
        triggered = bool(self.units.socket or self.units.timer)
        for unit in self.units.units:
            if unit.endswith("@.service"):
                continue
            instance = self.branch.branch("instances").branch(unit.partition("@")[2].removesuffix(".service"))
            used = used_files(self.branch, self.units.name, self.target.context.names, instance)
            yield replace(
                base,
                unit=unit,
                wanted=Wanted.PRESENT if triggered and self.state is Wanted.RUNNING else self.state,
                starter=not triggered,
                health=health_check(instance, unit) or health_check(self.branch, unit),
                uses=used.uses,
                check=used.check,
            )
        for unit in (self.units.socket, self.units.timer):
            if unit:
                yield replace(base, unit=unit, starts=self.units.unit)
