"""The unit files of the machine as they will be: the installed ones with our artifacts over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ordain.transforms.artifacts import Artifact, UnitFile, UnitLink
from ordain.transforms.model import Installed
from ordain.transforms.systemd import unit_file

Sections = Mapping[str, tuple[tuple[str, str], ...]]
Assignments = tuple[tuple[str, str, str], ...]

LINKS = {"wants": "Wants", "requires": "Requires", "upholds": "Upholds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """Units by name, each a tuple of (section, key, value) with resets applied; ``ours`` maps a unit to its items."""

    units: Mapping[str, Assignments]
    ours: Mapping[str, frozenset[str]]
    _words: dict[str, dict[tuple[str, str], tuple[str, ...]]] = field(default_factory=dict, compare=False)

    def words(self, unit: str, key: str, section: str = "Unit") -> tuple[str, ...]:
        """The words of a list setting."""
        if (words := self._words.get(unit)) is None:  # a target may want thousands, and is asked thousands of times
            found: dict[tuple[str, str], list[str]] = {}
            for s, k, value in self.units.get(unit, ()):
                found.setdefault((s, k), []).extend(value.split())
            words = self._words[unit] = {place: tuple(each) for place, each in found.items()}
        return words.get((section, key), ())

    def flag(self, unit: str, key: str, default: bool, *, section: str = "Unit") -> bool:
        """A boolean."""
        found = self.words(unit, key, section)
        return found[-1].lower() in {"yes", "true", "on", "1"} if found else default


def effective(artifacts: Iterable[Artifact], installed: Installed | None) -> Effective:
    """The union of ``installed`` and ``artifacts``; links count as Wants=, Requires= or Upholds= of their target."""
    artifacts = tuple(artifacts)
    units: dict[str, list[tuple[str, str, str]]] = {}
    ours: dict[str, set[str]] = {}
    masks = [a.path.removeprefix("early/") for a in artifacts if isinstance(a, UnitLink) and a.masks]
    masked = {path for path in masks if "/" not in path}
    held = {path for path in masks if "/" in path}
    for name, there in installed.units.items() if installed else ():
        if name not in masked:
            units[name] = [(s, k, v) for s, pairs in there.sections.items() for k, v in pairs]
    for link in installed.links if installed else ():
        if f"{link.target}.{link.kind}/{link.name}" not in held:
            units.setdefault(link.target, []).append(("Unit", LINKS[link.kind], link.name))
    for artifact in artifacts:
        for name, assignment in _assignments(artifact):
            units.setdefault(name, []).append(assignment)
            ours.setdefault(name, set()).add(artifact.item)
    return Effective(
        units={name: _reset(assignments) for name, assignments in units.items()},
        ours={name: frozenset(items) for name, items in ours.items()},
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
        if kind in LINKS:
            yield target, ("Unit", LINKS[kind], tail)


def _reset(assignments: Iterable[tuple[str, str, str]]) -> Assignments:
    """An empty assignment takes back what stood before it."""
    kept: list[tuple[str, str, str]] = []
    for section, key, value in assignments:
        if value:
            kept.append((section, key, value))
        else:
            kept = [line for line in kept if line[:2] != (section, key)]
    return tuple(kept)
