"""``units``: whole units and drop-ins in systemd's own syntax; their Install section becomes links."""

from __future__ import annotations

from collections.abc import Iterator

from ordain.transforms.artifacts import Artifact, UnitLink
from ordain.transforms.machine import sysv_scripts
from ordain.transforms.model import Branch, Installed, Member, Wanted, texts
from ordain.transforms.render.rendered_item import RenderedItem, from_drafts
from ordain.transforms.render.unit_draft import UnitDraft
from ordain.transforms.systemd import unit_name

DROP_IN = "00-ordain.units.conf"
"""Sorts behind the drop-in of `services` for the same unit, and before any admin's."""

INSTALL = {"WantedBy": "wants", "RequiredBy": "requires", "UpheldBy": "upholds"}


def render(name: str, branch: Branch, pointer: str, systemd: int, installed: Installed | None) -> RenderedItem:
    """The item of one raw unit (``foo.path``) or drop-in (``foo.path.d``)."""
    drop_in = name.endswith(".d")
    unit = name.removesuffix(".d")
    draft = UnitDraft(unit=unit, item=pointer, systemd=systemd, drop_in=DROP_IN if drop_in else "", where=branch.where)
    here = branch.here
    if not drop_in and installed and unit in installed.units:
        there = installed.units[unit]
        if there.path and not there.path.lstrip("/").startswith(("etc/", sysv_scripts.MADE)):
            hint = f"name it otherwise, or write a drop-in: {unit}.d"
            draft.block(
                here, f"{unit} is a unit of the distribution ({there.path}); ours would hide it", hint, "Shadows"
            )
    for section, keys in branch.branches():
        for key, leaf in keys.leaves():
            if section == "Install" and drop_in:
                draft.block(leaf, "Install has no meaning in a drop-in", "write the whole unit", "Item")
            elif section != "Install":
                for text in texts(leaf.value):
                    draft.raw(section, key, text, leaf)
    draft.move_behind_vendor(installed)
    install = branch.branch("Install")
    if not draft.lines and not draft.problems:
        draft.block(here, f"{unit} has no directives; an empty unit would be a mask", "use `state: masked`", "Item")
    return from_drafts(
        pointer, [draft], _links(unit, install, pointer, draft), _members(unit, install, pointer, drop_in)
    )


def _links(unit: str, install: Branch, pointer: str, draft: UnitDraft) -> Iterator[Artifact]:
    for key, leaf in install.leaves():
        names = [name for text in texts(leaf.value) for name in text.split()]
        for name in names:
            if not unit_name.is_valid(name):
                draft.block(leaf, f"{name!r} is no unit name", "", "Encode")
            elif key in INSTALL:
                yield UnitLink(path=f"normal/{name}.{INSTALL[key]}/{unit}", target=f"../{unit}", item=pointer)
            elif key == "Alias":
                yield UnitLink(path=f"normal/{name}", target=unit, item=pointer)
            else:
                draft.block(
                    leaf, f"Install: {key}= is not supported", f"one of {', '.join(INSTALL)}, Alias", "UnknownKey"
                )


def _members(unit: str, install: Branch, pointer: str, drop_in: bool) -> Iterator[Member]:
    if unit.partition("@")[2].startswith("."):
        return
    installed = any(key in install for key in INSTALL)
    wanted = Wanted.RUNNING if installed and not drop_in else Wanted.PRESENT
    yield Member(unit=unit, item=pointer, wanted=wanted, ours=not drop_in, starter=not drop_in)
