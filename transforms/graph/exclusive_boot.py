"""``boot`` → what the machine boots into: the distribution's default target, or what the documents ordain; pure.

    default.target ─▶ ordain.target ─requires▶ basic.target, ours: without the distribution's sockets, timers, paths
                                    ─wants▶    logins, network file systems, the agent (units/ordain.target)

Nothing is held back one by one: what no target that is reached asks for does not start, nor does what a package
installed later adds to the distribution's. What runs now is another matter: each unit that the distribution's boot
would start and this one does not is a member that is wanted stopped, so that switching to this mode is a plan like any
other, and switching back too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ordain.transforms.artifacts import Artifact, PlacedFile, UnitFile, UnitLink
from ordain.transforms.errors import Problem, Severity, near
from ordain.transforms.graph.effective_units import Effective, effective
from ordain.transforms.graph.essential_units import ITEM, KEEP, LIFELINES, REPLACED, ROOTS
from ordain.transforms.model import Branch, Installed, Leaf, Member, Wanted
from ordain.transforms.render.provenance import MADE_BY
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.systemd import unit_name

TARGET = "ordain.target"
_DEFAULT = "early/default.target"
_DROP_IN = "00-ordain-boot.conf"
"""Not the name of the documents' own drop-in for that target."""
_HELD = (".service", *unit_name.TRIGGER_SUFFIXES)
_PULLS = ("Wants", "Requires", "BindsTo", "Upholds", "Requisite")
_BASIC = """\
# {made_by}
# boot: exclusive. The distribution's basic.target but for its sockets, timers and paths; these stay.
[Unit]
Description=Basic System
Documentation=man:systemd.special(7) man:ordain(7)
Requires=sysinit.target
Wants=slices.target tmp.mount {kept}
After=sysinit.target slices.target tmp.mount {first}
RequiresMountsFor=/var /var/tmp
"""
_ISOLATED = """\
# {made_by}
# boot: exclusive. `systemctl isolate multi-user.target` brings what the distribution starts, all of it.
[Unit]
Wants=sockets.target timers.target paths.target
"""


def render(
    tree: Branch, items: Iterable[RenderedItem], kept: Iterable[RenderedItem], installed: Installed | None
) -> RenderedItem:
    """The item of the section. ``items`` are all others; ``kept`` those that are not blocked.

    What a blocked item speaks of stays as it last was, and so it is not held back either.
    """
    artifacts = list(_console(tree.leaf("console")))
    if tree.value("mode", "additive") != "exclusive":
        return RenderedItem(pointer=ITEM, artifacts=tuple(artifacts))
    allowed = tree.branch("allow")
    artifacts += _targets(installed)
    artifacts += [_wanted_by_us(name) for name in sorted(allowed)]
    if installed is None:
        return RenderedItem(pointer=ITEM, artifacts=tuple(artifacts))
    placed = (*artifacts, *(a for item in kept for a in item.artifacts if not isinstance(a, PlacedFile)))
    spoken_of = [member for item in items for member in item.members]
    members = keeps_out(placed, spoken_of, installed)
    vendors = _reached(effective(placed, installed), installed, distribution(installed))
    held = {member.unit for member in members}
    problems = (*_unknown(allowed, vendors), *_cut_off(tree.leaf("mode") or tree.here, held))
    blocked = any(problem.severity is Severity.BLOCKED for problem in problems)
    return RenderedItem(
        pointer=ITEM, artifacts=() if blocked else tuple(artifacts), members=() if blocked else members,
        problems=problems,
    )  # fmt: skip


def is_exclusive(artifacts: Iterable[Artifact]) -> bool:
    """Whether a machine boots into `TARGET` with these."""
    return any(artifact.path == _DEFAULT and artifact.item == ITEM for artifact in artifacts)


def keeps_out(
    artifacts: Iterable[Artifact], members: Iterable[Member], installed: Installed, begin: Collection[str] = ()
) -> tuple[Member, ...]:
    """What does not start in an exclusive boot with ``artifacts`` though the distribution would start it, by name.

    ``members`` are those of the documents. ``begin``: where the distribution's boot begins, if `distribution` of
    ``installed`` does not tell, since ``artifacts`` are in there already.
    """
    units = effective(artifacts, installed)
    spoken_of = {member.unit: member.wanted for member in members}
    vendors = _reached(units, installed, begin or distribution(installed))
    roots = [unit for unit, wanted in spoken_of.items() if wanted in (Wanted.RUNNING, Wanted.PRESENT)]
    started = _reached(units, installed, begin or distribution(installed), triggered=False)
    stays = _reached(units, installed, {*ROOTS, *KEEP, *roots}, triggers=vendors, ends={*REPLACED})
    held = {
        unit
        for unit in (vendors | _triggered_by(units, vendors - stays)) - stays - spoken_of.keys()
        if unit.endswith(_HELD) and unit in installed.units and not installed.units[unit].masked
        if not unit_name.is_template(unit)
    }
    return tuple(
        Member(
            unit=unit,
            item=ITEM,
            wanted=Wanted.STOPPED,
            ours=False,
            # What waits behind a socket starts when it is called, or never: systemd-sysinstall.service (261) halts.
            starter=unit in started,
            starts=_triggered(units, unit)[0] if unit.endswith(".socket") else "",
        )
        for unit in sorted(held)
    )


def would_start(installed: Installed) -> frozenset[str]:
    """The services, sockets, timers and paths that the distribution's own boot starts after its basic part."""
    units = effective((), installed)
    ours = _reached(units, installed, {*ROOTS, *KEEP}, ends={*REPLACED})
    found = _reached(units, installed, distribution(installed)) - ours
    return frozenset(
        unit
        for unit in found
        if unit.endswith(_HELD)
        and (there := installed.units.get(unit))
        and not there.masked
        and not unit_name.is_template(unit)
    )


def _console(leaf: Leaf | None) -> Iterator[Artifact]:
    """A login on one more terminal, in either mode (systemd-getty-generator(8) sees to the kernel's console)."""
    if leaf is None:
        return
    name = str(leaf.value).removeprefix("/dev/")
    virtual = name.startswith("tty") and name[3:].isdigit()
    unit = unit_name.instance_of("getty@.service" if virtual else "serial-getty@.service", unit_name.escape(name))
    yield UnitLink(path=f"normal/getty.target.wants/{unit}", target=f"../{unit_name.template_of(unit)}", item=ITEM)


def _targets(installed: Installed | None) -> Iterator[Artifact]:
    known = [name for name in KEEP if installed is None or name in installed.units]
    basic = _BASIC.format(
        made_by=MADE_BY, kept=" ".join(known), first=" ".join(name for name in known if not name.endswith(".timer"))
    )
    yield UnitLink(path=_DEFAULT, target=f"/usr/lib/systemd/system/{TARGET}", item=ITEM)
    yield UnitFile(path="early/basic.target", content=basic, item=ITEM)
    yield UnitFile(path=f"normal/multi-user.target.d/{_DROP_IN}", content=_ISOLATED.format(made_by=MADE_BY), item=ITEM)


def _wanted_by_us(unit: str) -> Artifact:
    file = unit_name.template_of(unit) or unit
    return UnitLink(path=f"normal/{TARGET}.wants/{unit}", target=f"../{file}", item=ITEM)


def distribution(installed: Installed) -> frozenset[str]:
    """Where the distribution's boot begins."""
    default = installed.aliases.get("default.target", "graphical.target")
    return frozenset((default, "multi-user.target", "sockets.target", "timers.target", "paths.target"))


def _reached(
    units: Effective,
    installed: Installed,
    roots: Iterable[str],
    *,
    triggers: Collection[str] = (),
    ends: Collection[str] = (),
    triggered: bool = True,
) -> frozenset[str]:
    """All that PID 1 starts with ``roots``, those included, and, if ``triggered``, what may be triggered by it.

    Of ``triggers`` also the sockets and paths of what is started, as a service may count on them; what ``ends`` pull
    in is left out.
    """
    found: set[str] = set()
    rising = set(roots)
    back = {
        service: {t for t in triggers if service in _triggered(units, t)} for service in _triggered_by(units, triggers)
    }
    while rising:
        rising = {installed.aliases.get(unit, unit) for unit in rising} - found
        found |= rising
        rising -= {*ends}
        pulled = {word for unit in rising for key in _PULLS for word in units.words(unit, key)}
        beside = {t for unit in rising for t in back.get(unit, ()) if not t.endswith(".timer")}
        rising = pulled | beside | (_triggered_by(units, rising) if triggered else set())
    return frozenset(found)


def _triggered_by(units: Effective, names: Iterable[str]) -> set[str]:
    """The services behind sockets and paths; a timer's end by themselves."""
    return {unit for name in names if not name.endswith(".timer") for unit in _triggered(units, name)}


def _triggered(units: Effective, name: str) -> tuple[str, ...]:
    section = unit_name.TRIGGERS.get(unit_name.suffix(name) if "." in name else "")
    if section is None:
        return ()
    accepts = section[0] == "Socket" and units.flag(name, "Accept", False, section="Socket")
    return units.words(name, section[1], section[0]) or (f"{name.rpartition('.')[0]}{'@' * accepts}.service",)


def _unknown(allowed: Branch, vendors: frozenset[str]) -> Iterator[Problem]:
    for name, leaf in allowed.leaves():
        if name not in vendors:
            what = f"{name} is nothing that the system would start"
            hint = near(name, sorted(vendors))
            yield Problem(
                where=leaf.where, what=what, hint=hint, code="NothingToAllow", severity=Severity.WARNING, item=ITEM
            )


def _cut_off(mode: Leaf, held: set[str]) -> Iterator[Problem]:
    for unit in sorted(held & LIFELINES.keys()):
        stem = unit.partition(".")[0]
        yield Problem(
            where=mode.where,
            what=f"exclusive mode takes away {unit}, which {LIFELINES[unit]}",
            hint=f"`boot: {{allow: {{{unit}: true}}}}` keeps it; "
            f"`services: {{{stem}: {{unit: {unit}, state: stopped}}}}` says that it may go",
            code="CutOff",
            severity=Severity.BLOCKED,
            item=ITEM,
        )
