"""The unit files of the machine as they will be: the installed ones together with the units of the documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ordain.transforms.artifacts import Artifact, UnitFile, UnitLink
from ordain.transforms.model import Installed
from ordain.transforms.render.unit_links import LINK_DIRECTORIES
from ordain.transforms.systemd import unit_file, unit_name

Assignments = tuple[tuple[str, str, str], ...]
"""Section, key and value of each line, without those that an empty assignment resets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveUnits:
    """The assignments of every unit; ``items`` maps the units of the documents to their items.

    ``lines`` are the assignments with the empty ones, which an instance needs to reset those of its template.
    """

    units: Mapping[str, Assignments]
    items: Mapping[str, frozenset[str]]
    lines: Mapping[str, Sequence[tuple[str, str, str]]]
    _words: dict[str, dict[tuple[str, str], tuple[str, ...]]] = field(default_factory=dict, compare=False)

    def words(self, unit: str, key: str, section: str = "Unit") -> tuple[str, ...]:
        """Return the words of a list setting."""
        # A target may want thousands of units, and callers ask for its words thousands of times.
        if (words := self._words.get(unit)) is None:
            lists: dict[tuple[str, str], list[str]] = {}
            for s, k, value in self.units.get(unit, ()):
                lists.setdefault((s, k), []).extend(value.split())
            words = self._words[unit] = {place: tuple(of_place) for place, of_place in lists.items()}
        return words.get((section, key), ())

    def triggered(self, unit: str) -> tuple[str, ...]:
        """Return the units that a socket, timer or path starts; nothing for a unit of another type."""
        trigger = unit_name.TRIGGERS.get(unit_name.unit_type(unit) if "." in unit else "")
        if trigger is None:
            return ()
        section, key = trigger
        accepts = section == "Socket" and self.flag(unit, "Accept", False, section="Socket")
        return self.words(unit, key, section) or (f"{unit.rpartition('.')[0]}{'@' * accepts}.service",)

    def with_template(self, unit: str) -> Assignments:
        """Return the assignments of a unit; those of an instance follow those of its template."""
        template = unit_name.template_of(unit)
        if not template:
            return self.units.get(unit, ())
        return _without_reset((*self.lines.get(template, ()), *self.lines.get(unit, ())))

    def flag(self, unit: str, key: str, default: bool, *, section: str = "Unit") -> bool:
        """Return a boolean setting."""
        words = self.words(unit, key, section)
        return words[-1].lower() in {"yes", "true", "on", "1"} if words else default


def effective_units(artifacts: Iterable[Artifact], installed: Installed | None) -> EffectiveUnits:
    """Return ``installed`` with ``artifacts`` over it; a dependency link counts as a directive of its target."""
    artifacts = tuple(artifacts)
    units: dict[str, list[tuple[str, str, str]]] = {}
    items: dict[str, set[str]] = {}
    masks = [a.path.removeprefix("early/") for a in artifacts if isinstance(a, UnitLink) and a.masks]
    masked = {path for path in masks if "/" not in path}
    held_back = {path for path in masks if "/" in path}
    made = {a.path.partition("/")[2] for a in artifacts if isinstance(a, UnitFile)}
    drop_ins: dict[str, list[tuple[str, str, str]]] = {}
    for name, unit in installed.units.items() if installed else ():
        if name not in masked and not (unit.path and name in made):  # ours replaces the whole unit, but no drop-in
            lines = [(s, k, v) for s, pairs in unit.sections.items() for k, v in pairs]
            (drop_ins if name in made else units)[name] = lines
    for link in installed.links if installed else ():
        if f"{link.target}.{link.kind}/{link.name}" not in held_back:
            units.setdefault(link.target, []).append(("Unit", LINK_DIRECTORIES[link.kind], link.name))
    for artifact in artifacts:
        for name, assignment in _assignments(artifact):
            units.setdefault(name, []).append(assignment)
            items.setdefault(name, set()).add(artifact.item)
    for name, lines in drop_ins.items():  # systemd reads them after our unit file
        units.setdefault(name, []).extend(lines)
    return EffectiveUnits(
        units={name: _without_reset(assignments) for name, assignments in units.items()},
        items={name: frozenset(pointers) for name, pointers in items.items()},
        lines=units,
    )


_parse = lru_cache(maxsize=8192)(unit_file.parse)


def _assignments(artifact: Artifact) -> Iterator[tuple[str, tuple[str, str, str]]]:
    head, _, tail = artifact.path.partition("/")[2].partition("/")
    if isinstance(artifact, UnitFile):
        unit = head.removesuffix(".d") if tail else head
        for assignment in _parse(artifact.content):
            yield unit, assignment
    elif isinstance(artifact, UnitLink) and not artifact.masks and tail:
        target, _, kind = head.rpartition(".")
        if kind in LINK_DIRECTORIES:
            yield target, ("Unit", LINK_DIRECTORIES[kind], tail)


def _without_reset(assignments: Iterable[tuple[str, str, str]]) -> Assignments:
    """Return the assignments, each empty one applied to those of its key before it."""
    kept: list[tuple[str, str, str]] = []
    for section, key, value in assignments:
        if value:
            kept.append((section, key, value))
        else:
            kept = [line for line in kept if line[:2] != (section, key)]
    return tuple(kept)
