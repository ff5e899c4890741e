"""The section ``boot``: whether the machine boots into the distribution's default target or only into the documents.

    default.target ─▶ ordain.target ─requires▶ basic.target, ours: without the distribution's sockets, timers, paths
                                    ─wants▶    logins, network file systems, the agent (units/ordain.target)

An exclusive boot does not hold units back one by one: it starts only the units that its targets ask for, and so none
that a package adds to the distribution's targets later. Units that run already are another matter: each unit that only
the distribution's boot would start is a member with the state stopped, so that a change of the mode, in either
direction, is a plan like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.transforms.artifacts import Artifact, PlacedFile, UnitFile, UnitLink
from ordain.transforms.errors import Problem, blocked, did_you_mean, is_blocked, warning
from ordain.transforms.graph.effective_units import effective_units
from ordain.transforms.graph.kept_out_units import DEFAULT, boot_targets, members_kept_out, started_with
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import BOOT_ITEM, Branch, Installed, Leaf
from ordain.transforms.render.cause_comments import MADE_BY
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.unit_links import wants
from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.system_units import KEPT_TRIGGERS, LIFELINES
from ordain.transforms.systemd.values import EncodeError

TARGET = "ordain.target"
_DROP_IN = "00-ordain-boot.conf"
"""Another name than that of a drop-in that documents make for the same target."""
_TERMINAL = lazy_pattern(r"(?:[A-Za-z0-9]+/)?[A-Za-z][A-Za-z0-9_]*[0-9]|pts/[0-9]+|console")
"""The name of a terminal below /dev."""
_BASIC = """\
# {made_by}
# boot: exclusive. The distribution's basic.target, with only these of its sockets, timers and paths.
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
# boot: exclusive. `systemctl isolate multi-user.target` starts all units of the distribution.
[Unit]
Wants=sockets.target timers.target paths.target
"""


def render(
    tree: Branch, items: Iterable[RenderedItem], sound: Iterable[RenderedItem], installed: Installed | None
) -> RenderedItem:
    """Return the item of the section. ``items`` are all others, ``sound`` those that are not blocked.

    The units of a blocked item stay as they were, so that they are not kept out either.
    """
    try:
        artifacts: list[Artifact] = list(_console(tree.leaf("console")))
    except EncodeError as error:
        console = tree.leaf("console") or tree.here
        what = f"no unit can log in on this console: {error.what}"
        problem = blocked(BOOT_ITEM, console.where, what, "name a terminal, such as ttyS0", "Encode")
        return RenderedItem(pointer=BOOT_ITEM, problems=(problem,))
    if tree.value("mode", "additive") != "exclusive":
        return RenderedItem(pointer=BOOT_ITEM, artifacts=tuple(artifacts))
    allowed = tree.branch("allow")
    artifacts += _targets(installed)
    artifacts += [wants(TARGET, name, BOOT_ITEM) for name in sorted(allowed)]
    if installed is None:
        return RenderedItem(pointer=BOOT_ITEM, artifacts=tuple(artifacts))
    unit_artifacts = (*artifacts, *(a for item in sound for a in item.artifacts if not isinstance(a, PlacedFile)))
    ordained = [member for item in items for member in item.members]
    members = members_kept_out(unit_artifacts, ordained, installed)
    distributions = started_with(effective_units(unit_artifacts, installed), installed, boot_targets(installed))
    problems = (
        *_not_started(allowed, distributions),
        *_lifelines(tree.leaf("mode") or tree.here, {member.unit for member in members}),
    )
    if is_blocked(problems):
        return RenderedItem(pointer=BOOT_ITEM, problems=problems)
    return RenderedItem(pointer=BOOT_ITEM, artifacts=tuple(artifacts), members=members, problems=problems)


def _console(leaf: Leaf | None) -> Iterator[UnitLink]:
    """Yield the login on one more terminal; systemd-getty-generator(8) adds that on the kernel's console.

    Raises `EncodeError` for a name that the unit of a login cannot have.
    """
    if leaf is None:
        return
    name = str(leaf.value).removeprefix("/dev/")
    if not _TERMINAL.fullmatch(name):
        raise EncodeError(f"{name!r} is not the name of a terminal in /dev")
    virtual = name.startswith("tty") and name[3:].isdigit()
    unit = unit_name.instance_of("getty@.service" if virtual else "serial-getty@.service", unit_name.escape(name))
    yield wants("getty.target", unit, BOOT_ITEM)


def _targets(installed: Installed | None) -> Iterator[Artifact]:
    known = [name for name in KEPT_TRIGGERS if installed is None or name in installed.units]
    basic = _BASIC.format(
        made_by=MADE_BY, kept=" ".join(known), first=" ".join(name for name in known if not name.endswith(".timer"))
    )
    isolated = _ISOLATED.format(made_by=MADE_BY)
    yield UnitLink(path=DEFAULT, target=f"/usr/lib/systemd/system/{TARGET}", item=BOOT_ITEM)
    yield UnitFile(path="early/basic.target", content=basic, item=BOOT_ITEM)
    yield UnitFile(path=f"normal/multi-user.target.d/{_DROP_IN}", content=isolated, item=BOOT_ITEM)


def _not_started(allowed: Branch, distributions: frozenset[str]) -> Iterator[Problem]:
    for name, leaf in allowed.leaves():
        if name not in distributions:
            what = f"the distribution's boot does not start {name}, so that this allows nothing"
            yield warning(BOOT_ITEM, leaf.where, what, did_you_mean(name, sorted(distributions)), "NothingToAllow")


def _lifelines(mode: Leaf, out: set[str]) -> Iterator[Problem]:
    for unit in sorted(out & LIFELINES.keys()):
        stem = unit.partition(".")[0]
        what = f"an exclusive boot would not start {unit}, which {LIFELINES[unit]}"
        hint = (
            f"`boot: {{allow: {{{unit}: true}}}}` keeps it; "
            f"`services: {{{stem}: {{unit: {unit}, state: stopped}}}}` confirms that it is not needed"
        )
        yield blocked(BOOT_ITEM, mode.where, what, hint, "CutOff")
