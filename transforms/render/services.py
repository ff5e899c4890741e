"""The entries of ``services`` → items: unit, socket, timer, instances, drop-ins, links."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ordain.transforms.artifacts import Artifact
from ordain.transforms.model import Branch, Drift, Installed, Member, OnChange, OnRemove, Wanted
from ordain.transforms.render import distribution_service, service_directives, sockets_and_timers
from ordain.transforms.render.health import health
from ordain.transforms.render.rendered_item import RenderedItem, from_drafts
from ordain.transforms.render.service_units import ServiceUnits
from ordain.transforms.render.unit_draft import DROP_IN, UnitDraft
from ordain.transforms.render.unit_links import SERVICES_TARGET, mask, wants
from ordain.transforms.render.used_files import reading

EARLY_TARGET = "sysinit.target"
EARLY = {
    "DefaultDependencies": "no",
    "After": "local-fs.target",
    "Before": f"{EARLY_TARGET} shutdown.target",
    "Conflicts": "shutdown.target",
}
EARLY_TIMEOUT = "30s"
ALONE = {
    "IgnoreOnIsolate": "yes",
    "Conflicts": "rescue.target emergency.target",
    "Before": "rescue.target emergency.target",
}
"""Directives without which `isolate` would stop the unit for good; with them only rescue mode stops it.

See docs/design/systemd.md, fact 14.
"""
BOOT_ENDING = ("FailureAction", "SuccessAction", "StartLimitAction", "JobTimeoutAction", "RebootArgument")
"""Directives by which one early unit could keep the machine from booting (docs/design/contract.md, rule 11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The machine to render for."""

    systemd: int
    context: service_directives.Context
    installed: Installed | None


def render(branch: Branch, layout: ServiceUnits, target: Target) -> RenderedItem:
    """The item of one service."""
    if layout.ours:
        return _Ours(branch, layout, target).item()
    return distribution_service.render(branch, layout, target.systemd, target.context, target.installed)


class _Ours:
    def __init__(self, branch: Branch, layout: ServiceUnits, target: Target) -> None:
        self.branch, self.layout, self.target = branch, layout, target
        self.state = Wanted(str(branch.value("state", "running")))
        self.early = branch.value("phase") == "early"

    def item(self) -> RenderedItem:
        pointer = self.layout.item
        if self.state is Wanted.MASKED:
            units = {self.layout.unit, *self.layout.units, *self.layout.starters}
            return from_drafts(pointer, (), (mask(unit, pointer) for unit in sorted(units)), self.members())
        return from_drafts(pointer, self.drafts(), self.links(), self.members())

    def draft(self, unit: str, drop_in: str = "") -> UnitDraft:
        return UnitDraft(unit=unit, item=self.layout.item, systemd=self.target.systemd, drop_in=drop_in)

    def drafts(self) -> Iterator[UnitDraft]:
        main = self.draft(self.layout.unit)
        service_directives.render(self.branch, main, self.target.context)
        # exec: a program that is not there fails the start; with simple it would seem to work.
        main.set_defaults("Service", {"Type": "exec"}, "a program that cannot be run fails the start")
        self.boot(main)
        yield main
        for name, entry in self.branch.branch("instances").branches():
            unit = next(u for u in self.layout.units if u.partition("@")[2] == f"{name}.service")
            draft = self.draft(unit, DROP_IN)
            service_directives.render(entry, draft, self.target.context)
            yield draft
        if self.layout.socket:
            socket = self.draft(self.layout.socket)
            self.describe(socket, "Sockets of")
            sockets_and_timers.listen(self.branch.branch("listen"), socket, self.target.context.names)
            service_directives.raw(self.branch, socket, {"Socket"})
            self.boot(socket)
            yield socket
        if self.layout.timer:
            timer = self.draft(self.layout.timer)
            self.describe(timer, "Schedule of")
            sockets_and_timers.schedule(self.branch.branch("schedule"), timer)
            service_directives.raw(self.branch, timer, {"Timer"})
            self.boot(timer)
            yield timer

    def describe(self, draft: UnitDraft, what: str) -> None:
        description = self.branch.leaf("description")
        leaf = description or self.branch.here
        name = str(description.value) if description else self.layout.name
        draft.set("Unit", "Description", f"{what} {name}", leaf)

    def boot(self, draft: UnitDraft) -> None:
        """How the unit takes part in boot, isolate, rescue and shutdown."""
        if not self.early:
            draft.set_defaults("Unit", ALONE, "isolate leaves it alone, rescue and emergency stop it")
            return
        draft.set_defaults("Unit", EARLY, "early: a part of the boot")
        self.harmless(draft)

    def harmless(self, draft: UnitDraft) -> None:
        """Refuses what would let an early unit stop the boot."""
        here = self.branch.here
        for line in tuple(draft.lines):
            if line.key in BOOT_ENDING:
                draft.block(here, f"an early service may not have {line.key}=", "use `phase: main`", "Vital")
            if line.key in {"TimeoutStartSec", "TimeoutSec"} and line.value in {"infinity", "0"}:
                draft.block(here, "an early service needs a finite start timeout", "set `start-timeout`", "Vital")
        if draft.unit.endswith(".service") and not any(line.key == "TimeoutStartSec" for line in draft.lines):
            draft.set_defaults("Service", {"TimeoutStartSec": EARLY_TIMEOUT}, "early: the boot waits no longer for it")

    def links(self) -> Iterator[Artifact]:
        if self.state is Wanted.RUNNING:
            goal = EARLY_TARGET if self.early else SERVICES_TARGET
            for starter in self.layout.starters:
                yield wants(goal, starter, self.layout.item)

    def members(self) -> Iterator[Member]:
        base = Member(
            unit="",
            item=self.layout.item,
            wanted=self.state,
            ours=True,
            early=self.early,
            on_change=OnChange(str(self.branch.value("on-change", OnChange.AUTO))),
            on_remove=OnRemove(str(self.branch.value("on-remove", OnRemove.STOP))),
            drift=Drift(str(self.branch.value("drift", Drift.REPORT))),
            stop_after_usec=service_directives.stop_after_usec(self.branch),
        )
        triggered = bool(self.layout.socket or self.layout.timer)
        for unit in self.layout.units:
            if not unit.endswith("@.service"):
                wanted = Wanted.PRESENT if triggered and self.state is Wanted.RUNNING else self.state
                own = self.branch.branch("instances").branch(unit.partition("@")[2].removesuffix(".service"))
                seen = health(own, unit) or health(self.branch, unit)
                read = reading(self.branch, self.layout.name, self.target.context.names, own)
                yield replace(
                    base,
                    unit=unit,
                    wanted=wanted,
                    starter=not triggered,
                    health=seen,
                    uses=read.uses,
                    check=read.check,
                )
        for unit in (self.layout.socket, self.layout.timer):
            if unit:
                yield replace(base, unit=unit, starts=self.layout.unit)
