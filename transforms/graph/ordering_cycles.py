"""Ordering cycles, which PID 1 would break at boot by deleting a job.

The graph has the orderings of the unit files and those that systemd adds by itself ("Default Dependencies" in
systemd.unit(5), systemd.service(5) and so on). Only cycles with a unit of the documents count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ordain.transforms.graph.effective_units import EffectiveUnits
from ordain.transforms.systemd import splitting, unit_name
from ordain.transforms.systemd.network_file_systems import is_network_for_systemd
from ordain.transforms.systemd.values import EncodeError

STANDARD = {
    "sysinit.target": ("local-fs.target", "swap.target"),
    "basic.target": ("sysinit.target", "sockets.target", "timers.target", "paths.target", "slices.target"),
    "multi-user.target": ("basic.target",),
    "graphical.target": ("multi-user.target",),
    "local-fs.target": ("local-fs-pre.target",),
    "network-online.target": ("network.target",),
}
"""The order of a boot (bootup(7)), for a machine whose units are not known."""

LATEST = 1000
"""A version of systemd that has all rules."""
INITRD = "/etc/initrd-release"

Graph = Mapping[str, set[str]]


def cycles(units: EffectiveUnits, *, known: bool) -> Iterator[tuple[str, ...]]:
    """Yield every ordering cycle with a unit of the documents, as units each of which is ordered after the next.

    ``known``: ``units`` includes the installed units of the machine.
    """
    graph = _graph(units, {} if known else STANDARD)
    for component in _components(graph):
        if len(component) > 1 and any(unit in units.items for unit in component):
            yield _shortest(graph, component, units)


def _graph(units: EffectiveUnits, standard: Mapping[str, tuple[str, ...]]) -> dict[str, set[str]]:
    after: dict[str, set[str]] = {unit: set(earlier) for unit, earlier in standard.items()}

    conflicts = {unit: frozenset(units.words(unit, "Conflicts")) for unit in units.units}

    def order(first: str, then: str) -> None:
        # Units in conflict never start together, so their order is not part of a cycle.
        exclusive = then in conflicts.get(first, ()) or first in conflicts.get(then, ())
        if first != then and not exclusive:
            after.setdefault(then, set()).add(first)

    for unit in units.units:
        if unit not in units.items and _is_of_initrd(unit, units):
            continue
        for other in units.words(unit, "After"):
            order(other, unit)
        for other in units.words(unit, "Before"):
            order(unit, other)
        for path in units.words(unit, "RequiresMountsFor"):
            for mount in _mounts_below(path.strip('"'), units):
                order(mount, unit)
        for first, then in _implicit(unit, units):
            order(first, then)
    return after


def _is_of_initrd(unit: str, units: EffectiveUnits) -> bool:
    """Return whether a unit starts only in an initrd, whose boot has another order.

    An example is breakpoint-pre-mount.service of systemd 258.
    """
    return any(INITRD in units.words(unit, key) for key in ("AssertPathExists", "ConditionPathExists"))


def _mounts_below(path: str, units: EffectiveUnits) -> Iterator[str]:
    parts = [part for part in path.split("/") if part]
    for count in range(1, len(parts) + 1):
        try:
            name = f"{unit_name.escape_path('/' + '/'.join(parts[:count]))}.mount"
        except EncodeError:  # such a path, and all below it, can have no mount unit
            return
        if name in units.units:
            yield name


def _implicit(unit: str, units: EffectiveUnits) -> Iterator[tuple[str, str]]:
    """Yield the orderings that systemd adds by itself, as (first, then)."""
    kind = unit_name.unit_type(unit) if unit_name.is_valid(unit) else ""
    stem = unit.rpartition(".")[0]
    if kind in unit_name.TRIGGERS:
        section, key = unit_name.TRIGGERS[kind]
        started = units.words(unit, key, section)
        yield unit, started[-1] if started else f"{stem}.service"
    if kind == "automount":
        yield unit, f"{stem}.mount"
    if kind in ("mount", "automount", "swap"):
        yield from ((mount, unit) for mount in _mounts_of(unit, units))
    if kind in _DEFAULT_DEPENDENCIES and units.flag(unit, "DefaultDependencies", True):
        yield from _DEFAULT_DEPENDENCIES[kind](unit, units)


def _mounts_of(unit: str, units: EffectiveUnits) -> Iterator[str]:
    """Yield the mounts that the mount point and the source of a mount are on (systemd.mount(5)).

    See "Implicit Dependencies" there.
    """
    try:
        above = unit_name.unescape_path(unit.rpartition(".")[0]).rpartition("/")[0]
    except EncodeError:
        return
    source = "".join(units.words(unit, "What", "Mount")[-1:])
    for path in (above, source if source.startswith("/") and not source.startswith("/dev/") else ""):
        yield from (mount for mount in _mounts_below(path, units) if mount != unit)


def _of_service(unit: str, units: EffectiveUnits) -> Iterator[tuple[str, str]]:
    yield "sysinit.target", unit
    yield "basic.target", unit


def _of_trigger(unit: str, units: EffectiveUnits) -> Iterator[tuple[str, str]]:
    yield "sysinit.target", unit
    yield unit, f"{unit_name.unit_type(unit)}s.target"


def _of_target(unit: str, units: EffectiveUnits) -> Iterator[tuple[str, str]]:
    for key in ("Wants", "Requires"):
        for other in units.words(unit, key):
            if units.flag(other, "DefaultDependencies", True) and not _is_after(other, unit, units):
                yield other, unit


def _of_mount(unit: str, units: EffectiveUnits) -> Iterator[tuple[str, str]]:
    kind = "".join(units.words(unit, "Type", "Mount")[-1:])
    options = splitting.mount_options(" ".join(units.words(unit, "Options", "Mount")))
    remote = is_network_for_systemd(kind, options, LATEST)
    yield ("remote-fs-pre.target" if remote else "local-fs-pre.target"), unit
    yield unit, "remote-fs.target" if remote else "local-fs.target"
    if remote:
        yield "network.target", unit
        yield "network-online.target", unit


def _of_swap(unit: str, units: EffectiveUnits) -> Iterator[tuple[str, str]]:
    yield unit, "swap.target"


_DEFAULT_DEPENDENCIES: Mapping[str, Callable[[str, EffectiveUnits], Iterator[tuple[str, str]]]] = {
    "service": _of_service,
    **dict.fromkeys(unit_name.TRIGGERS, _of_trigger),
    "target": _of_target,
    "mount": _of_mount,
    "swap": _of_swap,
}
"""By type of unit, the orderings that DefaultDependencies=no switches off."""


def _is_after(unit: str, target: str, units: EffectiveUnits) -> bool:
    """Return whether ``unit`` is ordered after ``target`` anyway, so that the target does not wait for it.

    See unit_add_default_target_dependency() of systemd's src/core/unit.c: "Don't create loops".
    """
    if target in units.words(unit, "After") or unit in units.words(target, "Before"):
        return True
    kind = unit_name.unit_type(unit) if unit_name.is_valid(unit) else ""
    implied = {"service": ("sysinit.target", "basic.target")}.get(kind, ("sysinit.target",))
    return kind in {"service", *unit_name.TRIGGERS} and target in implied


def _components(graph: Graph) -> Iterator[frozenset[str]]:
    """Yield the strongly connected components (Tarjan's algorithm without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    on_stack: set[str] = set()
    stack: list[str] = []
    for root in sorted(graph):
        if root in index:
            continue
        work = [(root, iter(sorted(graph.get(root, ()))))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    index[successor] = low[successor] = len(index)
                    stack.append(successor)
                    on_stack.add(successor)
                    work.append((successor, iter(sorted(graph.get(successor, ())))))
                    break
                if successor in on_stack:
                    low[node] = min(low[node], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = set()
                    while node not in component:
                        on_stack.discard(stack[-1])
                        component.add(stack.pop())
                    yield frozenset(component)


def _shortest(graph: Graph, component: frozenset[str], units: EffectiveUnits) -> tuple[str, ...]:
    """Return the shortest cycle in ``component`` that starts at a unit of the documents."""
    start = min(unit for unit in component if unit in units.items)
    paths: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    for path in paths:
        for successor in sorted(graph.get(path[-1], set()) & component):
            if successor == start:
                return path
            if successor not in seen:
                seen.add(successor)
                paths.append((*path, successor))
    return tuple(sorted(component))
