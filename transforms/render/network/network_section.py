"""The section ``network`` as items: one for each device, and one for what all devices share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.catalog.names import Names
from ordain.transforms.document.text.node import pointer_below
from ordain.transforms.errors import Problem, blocked, is_blocked
from ordain.transforms.model import Branch, Member, OnChange, Tree, Wanted
from ordain.transforms.render.network import (
    device_checks,
    device_clashes,
    ifupdown,
    network_manager,
    networkd,
    vrf_routes,
)
from ordain.transforms.render.network import devices as network
from ordain.transforms.render.network.device_draft import DeviceDraft
from ordain.transforms.render.network.devices import Device, problem
from ordain.transforms.render.network.section_file import SectionFile
from ordain.transforms.render.paths import IFUPDOWN
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.unit_links import wants
from ordain.transforms.template.expand import Scope, expand

INTERFACES = "network"
"""The item of ifupdown's file, and of the services that read all files."""
MANAGERS = {
    "networkd": ("networkd", "networkd-wait-online"),
    "NetworkManager": ("networkmanager", "networkmanager-wait-online"),
    "ifupdown": ("ifupdown", ""),
}
"""By renderer, the neutral names of the services that bring the network up and that wait for it."""


def render(tree: Branch, scope: Scope, names: Names, systemd: int) -> tuple[RenderedItem, ...]:
    """Return the items of ``network``; the renderer is that of the OS where no document names one."""
    tree, problems = _expanded(tree, scope)
    devices = vrf_routes.assign_routes(network.read(tree, names.renderer()))
    # Problems with a template hide the others, which may be consequences of the missing text.
    clashes = device_clashes.check(devices)
    devices = tuple(
        replace(
            d,
            problems=problems.get(d.pointer)
            or (*d.problems, *device_checks.check(d, devices), *clashes.get(d.pointer, ())),
        )
        for d in devices
    )
    items = {device.pointer: _item(device, systemd) for device in devices}
    _block_dependents(items, devices)
    sound = [device for device in devices if not items[device.pointer].blocked]
    return (*items.values(), *_ifupdown_file(items, devices), *_managers(sound, names))


def _expanded(tree: Branch, scope: Scope) -> tuple[Branch, Mapping[str, tuple[Problem, ...]]]:
    """Return ``tree`` with its templates expanded, and the problems with them by item."""
    problems: dict[str, tuple[Problem, ...]] = {}
    kinds: dict[str, Tree] = dict(tree.children)
    for kind, devices in tree.branches():
        children: dict[str, Tree] = dict(devices.children)
        for name, device in devices.branches():
            pointer = pointer_below(f"network/{kind}", name)
            children[name], problems[pointer] = expand(device, scope, pointer)
        kinds[kind] = replace(devices, children=children)
    return replace(tree, children=kinds), problems


def _item(device: Device, systemd: int) -> RenderedItem:
    """Return the item of one device."""
    if is_blocked(device.problems):
        return RenderedItem(pointer=device.pointer, problems=device.problems)
    drafts: tuple[DeviceDraft, ...]
    match device.renderer:
        case "NetworkManager":
            drafts = network_manager.render(device)
        case "ifupdown":
            drafts = (ifupdown.render(device),)  # whose text is in one file with that of other devices
        case _:
            drafts = networkd.render(device, systemd)
    if link := networkd.link(device, systemd):
        drafts = (*drafts, link)
    problems = (*device.problems, *(problem for draft in drafts for problem in draft.problems))
    artifacts = () if is_blocked(problems) else tuple(d.artifact() for d in drafts if isinstance(d, SectionFile))
    return RenderedItem(pointer=device.pointer, artifacts=artifacts, problems=problems)


def _block_dependents(items: dict[str, RenderedItem], devices: Iterable[Device]) -> None:
    """Block every device that is stacked on, or belongs to, a blocked device."""
    while True:
        blocked = {device.name for device in devices if items[device.pointer].blocked}
        dependents = [d for d in devices if blocked.intersection(d.below) and not items[d.pointer].blocked]
        if not dependents:
            return
        for device in dependents:
            needed = ", ".join(sorted(blocked.intersection(device.below)))
            what = f"it needs {needed}, which this machine cannot have"
            problems = (*items[device.pointer].problems, problem(device, device.place, what, "", "Needs"))
            items[device.pointer] = RenderedItem(pointer=device.pointer, problems=problems)


def _ifupdown_file(items: Mapping[str, RenderedItem], devices: Iterable[Device]) -> Iterator[RenderedItem]:
    """Yield the item of ifupdown's file, which has all its devices and is blocked if one of them is."""
    of_ifupdown = [device for device in devices if device.renderer == "ifupdown"]
    if not of_ifupdown:
        return
    what, hint = "{} stays as it was, because without {} it would be incomplete", "all devices are in that one file"
    problems = tuple(
        blocked(INTERFACES, device.place.where, what.format(IFUPDOWN, device.name), hint, "Needs")
        for device in of_ifupdown
        if items[device.pointer].blocked
    )
    stanzas = {} if problems else {device.name: ifupdown.render(device) for device in of_ifupdown}
    file = RegularFile(path=IFUPDOWN, content=ifupdown.file_text(stanzas), item=INTERFACES)
    yield RenderedItem(pointer=INTERFACES, artifacts=() if problems else (file,), problems=problems)


def _managers(devices: Iterable[Device], names: Names) -> Iterator[RenderedItem]:
    """Yield the services that bring the devices up and that wait for the network, both enabled at boot."""
    for renderer in sorted({device.renderer for device in devices}):
        manager, waiter = (names.service(name, "unit") for name in MANAGERS[renderer])
        if not manager:
            continue
        member = Member(
            unit=manager, item=INTERFACES, wanted=Wanted.RUNNING, ours=False, early=True, on_change=OnChange.RELOAD
        )
        links = [wants("multi-user.target", manager, INTERFACES)]
        links += [wants("network-online.target", waiter, INTERFACES)] if waiter else []
        yield RenderedItem(pointer=INTERFACES, artifacts=tuple(links), members=(member,))
