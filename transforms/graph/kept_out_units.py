"""The units that the distribution's boot starts and an exclusive one does not.

The agent asks this at each apply, so this module imports no renderer: `exclusive_boot` renders the section.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ordain.transforms.artifacts import Artifact
from ordain.transforms.graph.effective_units import EffectiveUnits, effective_units
from ordain.transforms.model import BOOT_ITEM, Installed, InstalledUnit, Member, Wanted
from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.system_units import KEPT_TRIGGERS, KEPT_UNITS, REPLACED_TARGETS

DEFAULT = "early/default.target"
"""The artifact that makes a boot exclusive."""
_KEPT_OUT = (".service", *unit_name.TRIGGER_SUFFIXES)
_PULLS = ("Wants", "Requires", "BindsTo", "Upholds", "Requisite")


def is_exclusive(artifacts: Iterable[Artifact]) -> bool:
    """Return whether a machine with these artifacts boots exclusively."""
    return any(artifact.path == DEFAULT and artifact.item == BOOT_ITEM for artifact in artifacts)


def members_kept_out(
    artifacts: Iterable[Artifact], members: Iterable[Member], installed: Installed, roots: Collection[str] = ()
) -> tuple[Member, ...]:
    """Return the units, by name, that the distribution would start but an exclusive boot with ``artifacts`` does not.

    ``members`` are those of the documents. ``roots`` are the targets of the distribution's boot, if they are not those
    of ``installed``, in which ``artifacts`` may be placed already.
    """
    units = effective_units(artifacts, installed)
    roots = roots or boot_targets(installed)
    ordained = {member.unit: member.wanted for member in members}
    may_run = [unit for unit, wanted in ordained.items() if wanted in (Wanted.RUNNING, Wanted.PRESENT)]
    distributions = started_with(units, installed, roots)
    started = started_with(units, installed, roots, triggered=False)
    stay = started_with(
        units, installed, {*KEPT_UNITS, *KEPT_TRIGGERS, *may_run}, triggers=distributions, ends={*REPLACED_TARGETS}
    )
    out = (distributions | _triggered_by(units, distributions - stay)) - stay - ordained.keys()
    return tuple(
        Member(
            unit=unit,
            item=BOOT_ITEM,
            wanted=Wanted.STOPPED,
            ours=False,
            # A unit behind a socket may never have run, and must not be started when the mode changes back: the start
            # of systemd-sysinstall.service (261) halts the machine.
            starter=unit in started,
            starts=units.triggered(unit)[0] if unit.endswith(".socket") else "",
        )
        for unit in sorted(out)
        if _can_be_kept_out(unit, installed.units.get(unit))
    )


def started_by_distribution(installed: Installed) -> frozenset[str]:
    """Return the services, sockets, timers and paths that only the distribution's own boot starts."""
    units = effective_units((), installed)
    stay = started_with(units, installed, {*KEPT_UNITS, *KEPT_TRIGGERS}, ends={*REPLACED_TARGETS})
    return frozenset(
        unit
        for unit in started_with(units, installed, boot_targets(installed)) - stay
        if _can_be_kept_out(unit, installed.units.get(unit))
    )


def _can_be_kept_out(name: str, unit: InstalledUnit | None) -> bool:
    return name.endswith(_KEPT_OUT) and unit is not None and not unit.masked and not unit_name.is_template(name)


def boot_targets(installed: Installed) -> frozenset[str]:
    """Return the targets of the distribution's boot."""
    default = installed.aliases.get("default.target", "graphical.target")
    return frozenset((default, "multi-user.target", "sockets.target", "timers.target", "paths.target"))


def started_with(
    units: EffectiveUnits,
    installed: Installed,
    roots: Iterable[str],
    *,
    triggers: Collection[str] = (),
    ends: Collection[str] = (),
    triggered: bool = True,
) -> frozenset[str]:
    """Return ``roots`` and all units that PID 1 starts with them; with ``triggered``, also those it may start later.

    A service may need its own socket or path, so those among ``triggers`` count as started with it. The dependencies of
    ``ends`` do not count.
    """
    reached: set[str] = set()
    new = set(roots)
    triggers_of = {
        service: {t for t in triggers if service in units.triggered(t)} for service in _triggered_by(units, triggers)
    }
    while new:
        new = {installed.aliases.get(unit, unit) for unit in new} - reached
        reached |= new
        new -= {*ends}
        pulled = {word for unit in new for key in _PULLS for word in units.words(unit, key)}
        own_triggers = {t for unit in new for t in triggers_of.get(unit, ()) if not t.endswith(".timer")}
        new = pulled | own_triggers | (_triggered_by(units, new) if triggered else set())
    return frozenset(reached)


def _triggered_by(units: EffectiveUnits, names: Iterable[str]) -> set[str]:
    """Return the services of sockets and paths, but not of timers, whose services end by themselves."""
    return {unit for name in names if not name.endswith(".timer") for unit in units.triggered(name)}
