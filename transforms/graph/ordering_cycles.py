"""Ordering cycles, found before PID 1 finds them and deletes a job to break them.

The graph holds what units say and what systemd adds by itself (systemd.unit(5), systemd.service(5) and so on,
"Default Dependencies"). A cycle counts only if an ordained unit is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ordain.transforms.graph.effective_units import Effective
from ordain.transforms.render.mounts import NETWORK_FILE_SYSTEMS
from ordain.transforms.systemd import unit_name

STANDARD = {
    "sysinit.target": ("local-fs.target", "swap.target"),
    "basic.target": ("sysinit.target", "sockets.target", "timers.target", "paths.target", "slices.target"),
    "multi-user.target": ("basic.target",),
    "graphical.target": ("multi-user.target",),
    "local-fs.target": ("local-fs-pre.target",),
    "network-online.target": ("network.target",),
}
"""The boot's own order, for a machine whose units are not known (bootup(7))."""

INITRD = "/etc/initrd-release"

Graph = Mapping[str, set[str]]


def cycles(units: Effective, *, known: bool) -> Iterator[tuple[str, ...]]:
    """Every ordering cycle with an ordained unit in it, as units each of which comes after the next.

    ``known``: whether ``units`` holds the machine's own units.
    """
    graph = _graph(units, {} if known else STANDARD)
    for component in _components(graph):
        if len(component) > 1 and any(unit in units.ours for unit in component):
            yield _shortest(graph, component, units)


def _graph(units: Effective, standard: Mapping[str, tuple[str, ...]]) -> dict[str, set[str]]:
    after: dict[str, set[str]] = {unit: set(earlier) for unit, earlier in standard.items()}

    conflicts = {unit: frozenset(units.words(unit, "Conflicts")) for unit in units.units}

    def order(first: str, then: str) -> None:
        # Units in conflict are never started together, so their order makes no cycle.
        apart = then in conflicts.get(first, ()) or first in conflicts.get(then, ())
        if first != then and not apart:
            after.setdefault(then, set()).add(first)

    for unit in units.units:
        if unit not in units.ours and _of_initrds(unit, units):
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


def _of_initrds(unit: str, units: Effective) -> bool:
    """Whether it starts in an initrd only, where another order holds: breakpoint-pre-mount.service (258) and such."""
    return any(INITRD in units.words(unit, key) for key in ("AssertPathExists", "ConditionPathExists"))


def _mounts_below(path: str, units: Effective) -> Iterator[str]:
    parts = [part for part in path.split("/") if part]
    for count in range(1, len(parts) + 1):
        name = f"{unit_name.escape_path('/' + '/'.join(parts[:count]))}.mount"
        if name in units.units:
            yield name


def _implicit(unit: str, units: Effective) -> Iterator[tuple[str, str]]:
    """What systemd orders by itself, as (first, then)."""
    kind = unit_name.suffix(unit) if unit_name.is_valid(unit) else ""
    stem = unit.rpartition(".")[0]
    if kind in unit_name.TRIGGERS:
        section, key = unit_name.TRIGGERS[kind]
        started = units.words(unit, key, section)
        yield unit, started[-1] if started else f"{stem}.service"
    if kind == "automount":
        yield unit, f"{stem}.mount"
    if not units.flag(unit, "DefaultDependencies", True):
        return
    if kind == "service":
        yield "sysinit.target", unit
        yield "basic.target", unit
    elif kind in unit_name.TRIGGERS:
        yield "sysinit.target", unit
        yield unit, f"{kind}s.target"
    elif kind == "target":
        for key in ("Wants", "Requires"):
            for other in units.words(unit, key):
                if units.flag(other, "DefaultDependencies", True) and not _is_after(other, unit, units):
                    yield other, unit
    elif kind == "mount":
        remote = any(word in NETWORK_FILE_SYSTEMS for word in units.words(unit, "Type", "Mount")) or any(
            "_netdev" in word.split(",") for word in units.words(unit, "Options", "Mount")
        )
        yield ("remote-fs-pre.target" if remote else "local-fs-pre.target"), unit
        yield unit, "remote-fs.target" if remote else "local-fs.target"
        if remote:
            yield "network.target", unit
            yield "network-online.target", unit
    elif kind == "swap":
        yield unit, "swap.target"


def _is_after(unit: str, target: str, units: Effective) -> bool:
    """Whether ``unit`` is ordered after ``target`` anyway; then the target does not wait for it.

    unit_add_default_target_dependency() of systemd's src/core/unit.c: "Don't create loops".
    """
    if target in units.words(unit, "After") or unit in units.words(target, "Before"):
        return True
    kind = unit_name.suffix(unit) if unit_name.is_valid(unit) else ""
    implied = {"service": ("sysinit.target", "basic.target")}.get(kind, ("sysinit.target",))
    return kind in {"service", *unit_name.TRIGGERS} and target in implied


def _components(graph: Graph) -> Iterator[frozenset[str]]:
    """Strongly connected components (Tarjan), without recursion."""
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


def _shortest(graph: Graph, component: frozenset[str], units: Effective) -> tuple[str, ...]:
    """The shortest way from an ordained unit of ``component`` back to itself."""
    start = min(unit for unit in component if unit in units.ours)
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
