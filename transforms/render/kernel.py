"""``sysctl`` and ``modules`` → files for sysctl.d(5), modules-load.d(5) and modprobe.d(5); pure."""

from __future__ import annotations

import re

from ordain.transforms.model import Branch, Member, OnChange, Wanted
from ordain.transforms.render.paths import MODPROBE, MODULES_LOAD
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.text_file import TextFile

SYSCTL = "/run/sysctl.d/99-q-ordain.conf"
"""Files of all directories are read by name, and the last word counts: ours comes behind the distributions' (such as
99-protect-links.conf) and before 99-sysctl.conf, which is /etc/sysctl.conf, the admin's."""
_PARAMETER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:*/-]*")
_MODULE = re.compile(r"[A-Za-z0-9_-]+")


def render_sysctl(tree: Branch, problems: RenderedItem) -> RenderedItem:
    """The one item of all kernel parameters: one file holds them."""
    file = TextFile(path=SYSCTL, item=problems.pointer)
    for name, leaf in tree.leaves():
        value = str(leaf.value)
        if not _PARAMETER.fullmatch(name):
            file.block(leaf, f"{name!r} is no kernel parameter", "as sysctl prints it: net.ipv4.ip_forward")
        if not value.strip() or value != value.strip():
            file.block(leaf, f"{name} cannot be {value!r}", "a value without blanks around it")
        file.add(f"{name} = {value}", leaf)
    return _item(file, problems, ("systemd-sysctl.service", SYSCTL))


def render_modules(tree: Branch, problems: RenderedItem) -> RenderedItem:
    """The one item of all kernel modules."""
    load, probe = TextFile(path=MODULES_LOAD, item=problems.pointer), TextFile(path=MODPROBE, item=problems.pointer)
    for name, branch in tree.branches():
        here = branch.here
        if not _MODULE.fullmatch(name):
            load.block(here, f"{name!r} is no name of a kernel module", "letters, digits, - and _")
        options, blacklist = branch.leaf("options"), branch.leaf("blacklist")
        if blacklist is not None and blacklist.value is True:
            probe.add(f"blacklist {name}", blacklist)
            # A blacklist alone is for what loads by an alias; other modules would still pull it in.
            probe.add(f"install {name} /bin/false", blacklist)
            continue
        load.add(name, here)
        if options is not None:
            if str(options.value).endswith("\\"):
                probe.block(options, "a backslash at the end would go on with the next line", "take it out")
            probe.add(f"options {name} {options.value}", options)
    load.problems += probe.problems
    made = _item(load, problems, ("systemd-modules-load.service", MODULES_LOAD))
    if made.blocked or not probe.lines:
        return made
    files = (*(a for a in made.artifacts if load.lines), probe.artifact())
    return RenderedItem(pointer=made.pointer, artifacts=files, members=made.members, problems=made.problems)


def _item(file: TextFile, problems: RenderedItem, reader: tuple[str, str]) -> RenderedItem:
    """The item of one file, which a service of the boot reads; a change runs that again."""
    found = (*problems.problems, *file.problems)
    if found:
        return RenderedItem(pointer=file.item, problems=found)
    unit, path = reader
    member = Member(
        unit=unit,
        item=file.item,
        wanted=Wanted.PRESENT,
        ours=False,
        on_change=OnChange.RESTART,
        uses=((path, OnChange.RESTART),),
    )
    return RenderedItem(pointer=file.item, artifacts=(file.artifact(),), members=(member,))
