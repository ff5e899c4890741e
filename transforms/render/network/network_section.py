"""The section ``network`` → items: one for each device, rendered for what brings it up on this OS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.catalog.names import Names
from ordain.transforms.document.node import step
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Branch, Member, OnChange, Tree, Wanted
from ordain.transforms.render.network import device_checks, ifupdown, network_manager, networkd, vrf_routes
from ordain.transforms.render.network import devices as network
from ordain.transforms.render.network.devices import Device, problem
from ordain.transforms.render.network.section_file import SectionFile
from ordain.transforms.render.paths import IFUPDOWN
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.unit_links import wants
from ordain.transforms.template.expand import Scope, expand

INTERFACES = "network"
"""The item that ifupdown's file belongs to, and the services that read the files."""
MANAGERS = {
    "networkd": ("networkd", "networkd-wait-online"),
    "NetworkManager": ("networkmanager", "networkmanager-wait-online"),
    "ifupdown": ("ifupdown", ""),
}
"""By renderer the services, by their neutral names, that bring the network up and that wait for it."""


def render(tree: Branch, scope: Scope, names: Names, systemd: int) -> tuple[RenderedItem, ...]:
    """The items of ``network``; what brings it up is the OS's where no document names a renderer."""
    tree, problems = _expanded(tree, scope)
    devices = vrf_routes.led(network.read(tree, names.renderer()))
    # Where a template gave no text, what the missing text breaks is not worth a word.
    devices = tuple(
        replace(d, problems=problems.get(d.pointer) or (*d.problems, *device_checks.check(d, devices))) for d in devices
    )
    made = {device.pointer: _item(device, systemd) for device in devices}
    _without_what_they_need(made, devices)
    able = [device for device in devices if not made[device.pointer].blocked]
    return (*made.values(), *_interfaces(made, devices), *_managers(able, names))


def _expanded(tree: Branch, scope: Scope) -> tuple[Branch, Mapping[str, tuple[Problem, ...]]]:
    """``tree`` with its templates expanded, and what is wrong with them, by item."""
    problems: dict[str, tuple[Problem, ...]] = {}
    kinds: dict[str, Tree] = dict(tree.children)
    for kind, devices in tree.branches():
        children: dict[str, Tree] = dict(devices.children)
        for name, device in devices.branches():
            pointer = step(f"network/{kind}", name)
            children[name], problems[pointer] = expand(device, scope, pointer)
        kinds[kind] = replace(devices, children=children)
    return replace(tree, children=kinds), problems


def _item(device: Device, systemd: int) -> RenderedItem:
    """The item of one device."""
    if _blocked(device.problems):
        return RenderedItem(pointer=device.pointer, problems=device.problems)
    files: tuple[SectionFile, ...]
    match device.renderer:
        case "NetworkManager":
            files = (network_manager.render(device),)
        case "ifupdown":
            files = (ifupdown.render(device),)
        case _:
            files = networkd.render(device, systemd)
    link = networkd.link(device, systemd)
    files = (*files, link) if link else files
    found = (*device.problems, *(problem for file in files for problem in file.problems))
    artifacts = () if _blocked(found) else tuple(file.artifact() for file in files if file.sections)
    return RenderedItem(pointer=device.pointer, artifacts=artifacts, problems=found)


def _without_what_they_need(made: dict[str, RenderedItem], devices: Iterable[Device]) -> None:
    """Blocks what stands on, or belongs to, a device this machine cannot have."""
    while True:
        gone = {device.name for device in devices if made[device.pointer].blocked}
        waiting = [d for d in devices if gone.intersection(d.below) and not made[d.pointer].blocked]
        if not waiting:
            return
        for device in waiting:
            what = f"it needs {', '.join(sorted(gone.intersection(device.below)))}, which this machine cannot have"
            problems = (*made[device.pointer].problems, problem(device, device.here, what, "", "Needs"))
            made[device.pointer] = RenderedItem(pointer=device.pointer, problems=problems)


def _interfaces(made: Mapping[str, RenderedItem], devices: Iterable[Device]) -> Iterator[RenderedItem]:
    """ifupdown's file, one for all its devices: an item of its own, blocked if one of them is."""
    those = [device for device in devices if device.renderer == "ifupdown"]
    if not those:
        return
    what, hint = "{} stays as it is: it would lose {}", "the file is one for all devices"
    problems = tuple(
        replace(
            problem(device, device.here, what.format(IFUPDOWN, device.name), hint, "Needs"),
            item=INTERFACES,
        )
        for device in those
        if made[device.pointer].blocked
    )
    stanzas = {} if problems else {device.name: ifupdown.render(device) for device in those}
    file = RegularFile(path=IFUPDOWN, content=ifupdown.file_text(stanzas), item=INTERFACES)
    yield RenderedItem(pointer=INTERFACES, artifacts=() if problems else (file,), problems=problems)


def _managers(devices: Iterable[Device], names: Names) -> Iterator[RenderedItem]:
    """What brings the devices up runs, at boot too, and what waits for the network knows whom to ask."""
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


def _blocked(problems: Iterable[Problem]) -> bool:
    return any(problem.severity is not Severity.WARNING for problem in problems)
