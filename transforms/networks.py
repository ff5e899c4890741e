"""The section ``network`` → items: one for each device, rendered for what brings it up on this OS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ordain.transforms import network, network_networkd
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.item import Item
from ordain.transforms.model import Branch, Tree
from ordain.transforms.network import Device, problem
from ordain.transforms.node import step
from ordain.transforms.template import Scope, expand


def render(tree: Branch, scope: Scope, renderer: str, systemd: int) -> tuple[Item, ...]:
    """The items of ``network``; ``renderer`` is that of the OS where no document names one."""
    tree, problems = _expanded(tree, scope)
    devices = network.read(tree, renderer)
    # Where a template gave no text, what the missing text breaks is not worth a word.
    devices = tuple(replace(d, problems=problems.get(d.pointer) or d.problems) for d in devices)
    return _without_what_they_need([_networkd(device, systemd) for device in devices], devices)


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


def _networkd(device: Device, systemd: int) -> Item:
    if _blocked(device.problems):
        return Item(pointer=device.pointer, problems=device.problems)
    files = network_networkd.render(device, systemd)
    found = (*device.problems, *(problem for file in files for problem in file.problems))
    artifacts = () if _blocked(found) else tuple(file.artifact() for file in files)
    return Item(pointer=device.pointer, artifacts=artifacts, problems=found)


def _without_what_they_need(items: Iterable[Item], devices: Iterable[Device]) -> tuple[Item, ...]:
    """``items`` without those that stand on, or belong to, a device this machine cannot have."""
    made = {item.pointer: item for item in items}
    while True:
        gone = {d.name for d in devices if made[d.pointer].blocked}
        waiting = [d for d in devices if gone.intersection(d.below) and not made[d.pointer].blocked]
        if not waiting:
            return tuple(made.values())
        for device in waiting:
            what = f"it needs {', '.join(gone.intersection(device.below))}, which this machine cannot have"
            found = problem(device, device.here, what, "", "Needs")
            made[device.pointer] = Item(pointer=device.pointer, problems=(*made[device.pointer].problems, found))


def _blocked(problems: Iterable[Problem]) -> bool:
    return any(problem.severity is not Severity.WARNING for problem in problems)
