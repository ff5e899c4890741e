"""Conflicts between items: changes of vital units, ordering cycles, Conflicts=, requirements that cannot be met.

At boot, PID 1 would resolve each of them silently, by deleting a job (docs/design/documents.md, rule 18).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ordain.transforms.artifacts import (
    AbsentFile,
    Artifact,
    PlacedDirectory,
    PlacedFile,
    RegularFile,
    SymbolicLink,
    UnitLink,
)
from ordain.transforms.errors import Problem, blocked, first_few, warning
from ordain.transforms.graph.effective_units import EffectiveUnits, effective_units
from ordain.transforms.graph.fatal_dependencies import fatal_dependencies
from ordain.transforms.graph.late_orderings import late_orderings
from ordain.transforms.graph.ordering_cycles import cycles
from ordain.transforms.graph.parent_limits import parent_limits
from ordain.transforms.graph.refused_units import refused_units
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key
from ordain.transforms.graph.shared_resources import shared_resources
from ordain.transforms.graph.unmet_triggers import unmet_triggers
from ordain.transforms.graph.unusable_programs import unusable_programs
from ordain.transforms.model import Installed, Wanted
from ordain.transforms.render.paths import HOSTNAME, SYSCTL
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.systemd import sysctl_files
from ordain.transforms.systemd.system_units import NOT_REPLACEABLE


def find_conflicts(
    items: Iterable[RenderedItem],
    installed: Installed | None,
    systemd: int,
    usual: frozenset[str],
    place_of: PlaceOf,
) -> tuple[Problem, ...]:
    """Return every conflict between ``items``, units that PID 1 refuses, and orderings that cannot hold.

    ``usual``: units that the distribution may install, where the installed ones are not known.
    """
    items = tuple(items)
    sound = [item for item in items if not item.blocked]
    artifacts = [artifact for item in sound for artifact in item.artifacts]
    units = effective_units(artifacts, installed)
    return (
        *_vital(artifacts, place_of),
        *_clashes(artifacts, place_of),
        *_paths_below_files(artifacts, place_of),
        *_loops(artifacts, place_of),
        *_kernel_parameters(artifacts, place_of),
        *refused_units(artifacts, units, installed, systemd, place_of),
        *unmet_triggers(artifacts, units, installed, place_of),
        *_cycles(units, installed is not None, place_of),
        *_conflicting_units(sound, units, place_of),
        *_unmet_requirements(items, units, place_of),
        *fatal_dependencies(sound, units, place_of),
        *late_orderings(sound, units, usual, place_of),
        *shared_resources(sound, units, installed, place_of),
        *unusable_programs(artifacts, (m for item in sound for m in item.members), units, place_of),
        *parent_limits(units, place_of),
    )


def _vital(artifacts: Iterable[Artifact], place_of: PlaceOf) -> Iterator[Problem]:
    for artifact in artifacts:
        if isinstance(artifact, PlacedFile):
            continue
        unit = artifact.path.partition("/")[2]
        masks = isinstance(artifact, UnitLink) and artifact.masks
        if masks:  # the unit, or a dependency on it
            unit = unit.rpartition("/")[2]
        if unit in NOT_REPLACEABLE:
            verb = "stop or mask" if masks else "replace"
            what = f"the machine depends on {unit}, so that no document may {verb} it"
            hint = f"change it with a drop-in: units/{unit}.d"
            yield blocked(artifact.item, place_of(artifact.item), what, hint, "Vital")


def _clashes(artifacts: Iterable[Artifact], place_of: PlaceOf) -> Iterator[Problem]:
    first: dict[str, Artifact] = {}
    for artifact in artifacts:
        other = first.setdefault(artifact.path, artifact)
        if other.item != artifact.item:
            name = artifact.path if isinstance(artifact, PlacedFile) else artifact.path.partition("/")[2]
            what = f"{other.item} and {artifact.item} both make {name}"
            yield blocked(artifact.item, place_of(artifact.item), what, "remove it from one of them", "Clash")


def _paths_below_files(artifacts: Iterable[Artifact], place_of: PlaceOf) -> Iterator[Problem]:
    """Yield the paths below a path that the documents make something else than a directory.

    No file system has both, and neither has the history, which keeps the files of a generation below a directory. A
    link is not followed, because its target can be outside.
    """
    placed = [artifact for artifact in artifacts if isinstance(artifact, PlacedFile)]
    others = {artifact.path: artifact for artifact in placed if not isinstance(artifact, PlacedDirectory)}
    for artifact in placed:
        parts = artifact.path.split("/")
        above = (others.get("/".join(parts[:length])) for length in range(2, len(parts)))
        other = next(filter(None, above), None)
        if other is None or (isinstance(other, AbsentFile) and isinstance(artifact, AbsentFile)):
            continue
        kind = next((name for type_, name in _NOT_A_DIRECTORY if isinstance(other, type_)), "a file")
        what = f"{artifact.path} is below {other.path}, which {other.item} (at {place_of(other.item)}) makes {kind}"
        hint = f"move one of them, or write `directory: true` for {other.path}"
        yield blocked(artifact.item, place_of(artifact.item), what, hint, "Clash")


def _loops(artifacts: Iterable[Artifact], place_of: PlaceOf) -> Iterator[Problem]:
    """Yield the links that lead back to themselves: nobody could open them."""
    links = {artifact.path: artifact for artifact in artifacts if isinstance(artifact, SymbolicLink)}
    targets = {path: link.target for path, link in links.items()}
    for path, link in links.items():
        steps = tuple(_followed(path, targets))
        if len(steps) > _MOST_LINKS:
            what = f"{path} leads back to itself: {' -> '.join((path, *dict.fromkeys(steps[:4])))}"
            yield blocked(link.item, place_of_key(link.item, ("link",), place_of), what, "link to another path")


def _followed(path: str, links: Mapping[str, str]) -> Iterator[str]:
    """Yield the path after each link that the kernel would follow, up to the one at which it gives up (ELOOP)."""
    for _ in range(_MOST_LINKS + 1):
        parts = path.split("/")
        heads = ("/".join(parts[:length]) for length in range(2, len(parts) + 1))
        head = next((head for head in heads if head in links), "")
        if not head:
            return
        path = links[head].rstrip("/") + path.removeprefix(head)
        yield path


_MOST_LINKS = 40
"""The number of links that Linux follows for one path (path_resolution(7))."""
_NOT_A_DIRECTORY = ((SymbolicLink, "a link"), (AbsentFile, "absent"))


def _kernel_parameters(artifacts: Iterable[Artifact], place_of: PlaceOf) -> Iterator[Problem]:
    """Warn of files for systemd-sysctl that give a parameter of ``sysctl`` another value."""
    artifacts = tuple(artifacts)
    files = {a.path: a for a in artifacts if isinstance(a, RegularFile) and sysctl_files.is_read(a.path)}
    for host in artifacts:
        if isinstance(host, RegularFile) and host.path == HOSTNAME:
            yield from _host_name(host, files.values(), place_of)
    ours = sysctl_files.assignments(files[SYSCTL].content) if SYSCTL in files else {}
    for file in files.values():
        for path, value in sysctl_files.assignments(file.content).items() if file.path != SYSCTL else ():
            if ours.get(path, value) != value:
                last = max(file.path, SYSCTL, key=lambda path: path.rpartition("/")[2])
                other = f"`sysctl` (at {place_of('sysctl')})"
                what = f"{file.path} sets {path} to {value}, and {other} to {ours[path]}; {last} is read last"
                yield warning(file.item, place_of(file.item), what, "remove one of them", "Clash")


def _host_name(host: RegularFile, files: Iterable[RegularFile], place_of: PlaceOf) -> Iterator[Problem]:
    """Warn of files for systemd-sysctl that set another host name than `host`, or than a file at /etc/hostname."""
    for file in files:
        name = sysctl_files.assignments(file.content).get("kernel/hostname", host.content.strip())
        if name != host.content.strip():
            key = ("kernel.hostname", "kernel~1hostname")
            what = f"kernel.hostname is {name}, and {host.item} (at {place_of(host.item)}) sets {host.content.strip()}"
            yield warning(file.item, place_of_key(file.item, key, place_of), what, "remove one of them", "Clash")


def _cycles(units: EffectiveUnits, known: bool, place_of: PlaceOf) -> Iterator[Problem]:
    hint = "remove one of the orderings; PID 1 would delete the job of one of these units at random"
    for cycle in cycles(units, known=known):
        what = f"ordering cycle: {' after '.join((*first_few(cycle, 'units'), cycle[0]))}"
        for pointer in sorted({item for unit in cycle for item in units.items.get(unit, ())}):
            yield blocked(pointer, place_of(pointer), what, hint, "Cycle")


def _conflicting_units(items: Iterable[RenderedItem], units: EffectiveUnits, place_of: PlaceOf) -> Iterator[Problem]:
    running: Mapping[str, str] = {m.unit: m.item for item in items for m in item.members if m.wanted is Wanted.RUNNING}
    for unit, pointer in sorted(running.items()):
        for other in units.words(unit, "Conflicts"):
            if other in running and running[other] != pointer:
                what = f"{unit} conflicts with {other}, but both are to run"
                for item in (pointer, running[other]):
                    yield blocked(item, place_of(item), what, "set `state: stopped` for one of them", "Conflict")


def _unmet_requirements(items: Iterable[RenderedItem], units: EffectiveUnits, place_of: PlaceOf) -> Iterator[Problem]:
    """Yield requirements of masked and of blocked units, also of those that such a requirement itself blocks."""
    items = tuple(items)
    masked = {m.unit for item in items for m in item.members if m.wanted is Wanted.MASKED}
    of_blocked = {m.unit: item.pointer for item in items if item.blocked for m in item.members}
    sound = [item for item in items if not item.blocked]
    changed = True
    while changed:
        changed = False
        for item in tuple(sound):
            for unit in sorted({m.unit for m in item.members if m.wanted is not Wanted.MASKED}):
                required = {word for key in ("Requires", "BindsTo", "Requisite") for word in units.words(unit, key)}
                for other in sorted(required & (masked | of_blocked.keys())):
                    if item in sound:
                        state = "masked" if other in masked else f"blocked (see {of_blocked[other]})"
                        what = f"{unit} requires {other}, which is {state}"
                        hint = "use `wants`, or correct the other one first"
                        yield blocked(item.pointer, place_of(item.pointer), what, hint, "Requires")
                        of_blocked |= {m.unit: item.pointer for m in item.members}
                        sound.remove(item)
                        changed = True
