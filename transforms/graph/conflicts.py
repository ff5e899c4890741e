"""What is wrong between items: clashes with vital units, cycles, conflicts, requirements that cannot be met.

Each of these PID 1 would settle in silence at boot, by dropping a job (docs/design/documents.md, rule 18).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from ordain.transforms.artifacts import Artifact, PlacedFile, UnitLink
from ordain.transforms.errors import Problem, Severity, Where
from ordain.transforms.graph.effective_units import Effective, effective
from ordain.transforms.graph.ordering_cycles import cycles
from ordain.transforms.model import Installed, Wanted
from ordain.transforms.render.rendered_item import RenderedItem

VITAL = frozenset(
    """
    -.mount -.slice init.scope system.slice basic.target sysinit.target default.target local-fs.target
    local-fs-pre.target emergency.target emergency.service rescue.target rescue.service shutdown.target
    umount.target final.target reboot.target poweroff.target halt.target getty.target multi-user.target
    graphical.target sockets.target timers.target paths.target slices.target dbus.socket dbus.service
    dbus-broker.service systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket
    systemd-logind.service systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket
    systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-user-sessions.service
    systemd-remount-fs.service
    ordain-agent.service ordain-fallback.service ordain-services.target ordain-boot-attempt.service
    ordain-boot-good.service
    """.split()
)
"""Units without which a machine may not boot, be logged into, or be healed. Drop-ins for them are allowed."""

Places = Callable[[str], Where]


def check(items: Iterable[RenderedItem], installed: Installed | None, where: Places) -> tuple[Problem, ...]:
    """Every problem between ``items``; ``where`` gives the place of a pointer. All block what they name."""
    items = tuple(items)
    sound = [item for item in items if not item.blocked]
    artifacts = [artifact for item in sound for artifact in item.artifacts]
    units = effective(artifacts, installed)
    problems = [
        *_vital(artifacts, where),
        *_twice(artifacts, where),
        *_cycles(units, installed is not None, where),
        *_conflicts(sound, units, where),
        *_missing(items, units, where),
    ]
    return tuple(problems)


def _blocked(pointer: str, what: str, hint: str, code: str, where: Places) -> Problem:
    return Problem(where=where(pointer), what=what, hint=hint, code=code, severity=Severity.BLOCKED, item=pointer)


def _vital(artifacts: Iterable[Artifact], where: Places) -> Iterator[Problem]:
    for artifact in artifacts:
        if isinstance(artifact, PlacedFile):
            continue
        unit = artifact.path.partition("/")[2]
        masks = isinstance(artifact, UnitLink) and artifact.masks
        if masks:  # the unit, or a dependency on it
            unit = unit.rpartition("/")[2]
        if unit in VITAL:
            verb = "stop or mask" if masks else "replace"
            what = f"the machine depends on {unit}; no document may {verb} it"
            yield _blocked(artifact.item, what, f"a drop-in can change it: units/{unit}.d", "Vital", where)


def _twice(artifacts: Iterable[Artifact], where: Places) -> Iterator[Problem]:
    first: dict[str, Artifact] = {}
    for artifact in artifacts:
        other = first.setdefault(artifact.path, artifact)
        if other.item != artifact.item:
            name = artifact.path if isinstance(artifact, PlacedFile) else artifact.path.partition("/")[2]
            what = f"{other.item} and {artifact.item} both make {name}"
            yield _blocked(artifact.item, what, "say it in one place", "Clash", where)


def _cycles(units: Effective, known: bool, where: Places) -> Iterator[Problem]:
    for cycle in cycles(units, known=known):
        chain = " after ".join((*cycle, cycle[0]))
        for pointer in sorted({item for unit in cycle for item in units.ours.get(unit, ())}):
            what = f"ordering cycle: {chain}"
            yield _blocked(
                pointer, what, "PID 1 would drop one of them at random; take one of the orderings out", "Cycle", where
            )


def _running(items: Iterable[RenderedItem]) -> Mapping[str, str]:
    """The units that the documents want to run, and their items."""
    return {m.unit: m.item for item in items for m in item.members if m.wanted is Wanted.RUNNING}


def _conflicts(items: Iterable[RenderedItem], units: Effective, where: Places) -> Iterator[Problem]:
    running = _running(items)
    for unit, pointer in sorted(running.items()):
        for other in units.words(unit, "Conflicts"):
            if other in running and running[other] != pointer:
                what = f"{unit} conflicts with {other}, and both should run"
                for one in (pointer, running[other]):
                    yield _blocked(one, what, "set `state: stopped` for one of them", "Conflict", where)


def _missing(items: Iterable[RenderedItem], units: Effective, where: Places) -> Iterator[Problem]:
    """Requirements of what is masked or blocked; what requires a blocked item is blocked too."""
    items = tuple(items)
    masked = {m.unit: m.item for item in items for m in item.members if m.wanted is Wanted.MASKED}
    bad = {m.unit: item.pointer for item in items if item.blocked for m in item.members}
    waiting = [item for item in items if not item.blocked]
    found = True
    while found:
        found = False
        for item in tuple(waiting):
            for unit in sorted({m.unit for m in item.members if m.wanted is not Wanted.MASKED}):
                required = {
                    *units.words(unit, "Requires"),
                    *units.words(unit, "BindsTo"),
                    *units.words(unit, "Requisite"),
                }
                for other in sorted(required & (masked.keys() | bad.keys())):
                    if item in waiting:
                        state = "masked" if other in masked else f"blocked (see {bad[other]})"
                        what = f"{unit} requires {other}, which is {state}"
                        yield _blocked(item.pointer, what, "use `wants`, or mend that one first", "Requires", where)
                        bad |= {m.unit: item.pointer for m in item.members}
                        waiting.remove(item)
                        found = True
