"""The section ``units``: whole units and drop-ins in systemd's own syntax, whose [Install] becomes links."""

from __future__ import annotations

from collections.abc import Iterator

from ordain.transforms.artifacts import UnitLink
from ordain.transforms.model import Branch, Installed, Member, Wanted, strings
from ordain.transforms.render.rendered_item import RenderedItem, from_drafts
from ordain.transforms.render.services.service_units import describe_hidden, hidden_unit
from ordain.transforms.render.unit_draft import UnitDraft
from ordain.transforms.render.unit_links import INSTALL
from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.encode import EncodeError

DROP_IN = "00-ordain.units.conf"
"""Sorts after the drop-in that `services` makes for the same unit, and before any of an administrator."""


def render(name: str, branch: Branch, pointer: str, systemd: int, installed: Installed | None) -> RenderedItem:
    """Return the item of one raw unit (``foo.path``) or drop-in (``foo.path.d``)."""
    drop_in = name.endswith(".d")
    unit = name.removesuffix(".d")
    draft = UnitDraft(unit=unit, item=pointer, systemd=systemd, drop_in=DROP_IN if drop_in else "", where=branch.where)
    place = branch.here
    if not drop_in and (hidden := hidden_unit((unit,), installed)):
        draft.block(place, describe_hidden(hidden), f"rename this unit, or write a drop-in: {unit}.d", "Shadows")
    for section, keys in branch.branches():
        for key, leaf in keys.leaves():
            if section == "Install" and drop_in:
                draft.block(leaf, "[Install] has no meaning in a drop-in", "write the whole unit")
            elif section != "Install":
                for text in strings(leaf.value):
                    draft.raw(section, key, text, leaf)
    draft.move_behind_vendor(installed)
    install = branch.branch("Install")
    if not draft.lines and not draft.problems:
        draft.block(place, f"{unit} has no directives, and an empty unit file would mask it", "use `state: masked`")
    started = _started(unit, install, draft)
    links = tuple(_links(unit, started, install, pointer, draft))
    return from_drafts(pointer, [draft], links, _members(started, install, pointer, drop_in))


def _started(unit: str, install: Branch, draft: UnitDraft) -> str:
    """Return the unit that [Install] is about: of a template, its default instance (systemd.unit(5))."""
    default = install.leaf("DefaultInstance")
    if default is None:
        return unit
    if not unit_name.is_template(unit):
        draft.warn(
            default, f"DefaultInstance= has no effect in {unit}, which is not a template", "remove it", "Doubtful"
        )
        return unit
    try:
        return unit_name.instance_of(unit, "".join(strings(default.value)[-1:]))
    except EncodeError as error:
        draft.block(default, error.what, error.hint, "Encode")
        return unit


def _links(unit: str, started: str, install: Branch, pointer: str, draft: UnitDraft) -> Iterator[UnitLink]:
    for key, leaf in install.leaves():
        if key == "DefaultInstance":
            continue
        for name in [name for text in strings(leaf.value) for name in text.split()]:
            if not unit_name.is_valid(name):
                draft.block(leaf, f"{name!r} is not a unit name", "such as multi-user.target", "Encode")
            elif key in INSTALL:
                yield UnitLink(path=f"normal/{name}.{INSTALL[key]}/{started}", target=f"../{unit}", item=pointer)
            elif key == "Alias":
                yield UnitLink(path=f"normal/{name}", target=unit, item=pointer)
            else:
                what, hint = f"{key}= in [Install] is not supported", f"use one of {', '.join(INSTALL)}, Alias"
                draft.block(leaf, what, hint, "UnknownKey")


def _members(unit: str, install: Branch, pointer: str, drop_in: bool) -> Iterator[Member]:
    if unit_name.is_template(unit):
        return
    installed = any(key in install for key in INSTALL)
    wanted = Wanted.RUNNING if installed and not drop_in else Wanted.PRESENT
    yield Member(unit=unit, item=pointer, wanted=wanted, ours=not drop_in, starter=not drop_in)
