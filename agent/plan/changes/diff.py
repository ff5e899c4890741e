"""The differences between two generations, by unit and key.

The comparison covers everything that PID 1 reads from our files: the unit file and its drop-ins, as one list of
assignments, without comments and X- keys. Files of the distribution and of administrators are the same on both sides,
so they are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ordain.agent.generation import canonical
from ordain.agent.model import Change, Effect, Generation
from ordain.agent.plan.changes.causes import directive_causes, unit_causes
from ordain.agent.plan.changes.directive_effects import effect
from ordain.agent.plan.changes.file_changes import FilesRead, file_changes, files_read
from ordain.transforms.artifacts import MASK, PlacedFile, UnitArtifact, UnitFile, UnitLink
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.render.cause_comments import Cause
from ordain.transforms.systemd.directives import is_private, lookup
from ordain.transforms.systemd.unit_file import parse
from ordain.transforms.systemd.unit_name import is_template, template_of

FRAGMENT = "FragmentPath"
"""The key, without a section, of the change that adds, removes or masks a unit file."""
_DIRECTORIES = ("early", "normal", "late")
"""The generator's directories in systemd's search order: of two files with the same name, the first one counts."""
_LINKS = {"wants": "WantedBy", "requires": "RequiredBy", "upholds": "UpheldBy"}

_ONE_VALUE = lazy_pattern(
    r"""config_parse_(
    bool|tristate|int|unsigned|long|mode|sec|sec_fix_0|sec_def_infinity|nsec|signal|rlimit|iec_size|
    memory_limit|tasks_max|cpu_quota|cg_weight|cg_cpu_weight|unit_slice|kill_mode|notify_access|oom_policy|
    service_type|service_exit_type|service_restart|service_restart_mode|service_timeout|service_timeout_abort|
    exec_nice|exec_oom_score_adjust|exec_output|exec_input|exec_keyring_mode|
    user_group_compat|working_directory|unit_path_printf|unit_string_printf|
    protect_system|protect_home|protect_proc|proc_subset|private_tmp|private_users|device_policy
    )""",
    re.VERBOSE,
)
"""The parse functions of keys whose last value wins; any other key is treated as a list."""

Values = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)  # no slots, for the cached property: most units are equal and never parsed
class PlacedUnit:
    """The files that a generation places for one unit.

    ``fragment`` is the artifact path of the unit file, ``/dev/null`` for a mask, ``""`` if there are only drop-ins.
    ``files`` are the unit file and the drop-ins (path, content), in the order in which PID 1 reads them. ``links`` are
    the links to the unit, as keys of the section Install. ``reads`` are the files of the documents that it reads.
    ``item`` and the ``provenance`` of the generation tell why the unit exists.
    """

    fragment: str = ""
    files: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, Values], ...] = ()
    reads: FilesRead = ()
    item: str | None = field(default=None, compare=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Return the place in the documents that the unit exists for; nothing if there are only drop-ins."""
        return () if self.item is None else unit_causes(self.files, self.item, self.provenance)

    @cached_property
    def values(self) -> Mapping[tuple[str, str], Values]:
        """Return the values of each (section, key) since the last reset.

        Without a unit file of ours, a reset stays as a first value ``""``, because it removes values of other files.
        """
        values: dict[tuple[str, str], list[str]] = {}
        for section, key, value in (line for _, text in self.files for line in parse(text)):
            if is_private(section, key):
                continue
            if value == "":
                values[section, key] = [] if self.fragment else [""]
            elif _has_one_value(section, key):
                values[section, key] = [value]
            else:
                values.setdefault((section, key), []).append(value)
        links = {("Install", key): names for key, names in self.links}
        return {**{key: tuple(own) for key, own in values.items() if own}, **links}

    @property
    def masked(self) -> bool:
        """Return whether the generation masks the unit."""
        return self.fragment == MASK

    def last(self, section: str, key: str) -> str:
        """Return the effective value of a key that has one value, ``""`` if it is not set."""
        return self.values.get((section, key), ("",))[-1]

    def words(self, section: str, *keys: str) -> frozenset[str]:
        """Return all words of list keys, such as the units in Requires= and BindsTo=."""
        return frozenset(
            word for key in keys for value in self.values.get((section, key), ()) for word in value.split()
        )

    @property
    def hash(self) -> str:
        """Return the SHA-256, in hex, of everything that PID 1 reads."""
        rows = sorted([*key, *values] for key, values in self.values.items())
        return hashlib.sha256(canonical([self.fragment, rows])).hexdigest()


def placed_units(generation: Generation) -> Mapping[str, PlacedUnit]:
    """Return the files that ``generation`` places for each unit, by unit name; instances have their own entries."""
    index = _ArtifactIndex(generation)
    named = index.units
    names = named | {m.unit for m in generation.members if template_of(m.unit) in named}
    units = {name: index.unit(name) for name in sorted(names) if not is_template(name)}
    for name, reads in files_read(generation).items():
        if not is_template(name):
            units[name] = replace(units.get(name, PlacedUnit()), reads=reads)
    return units


def compare_units(old: Mapping[str, PlacedUnit], new: Mapping[str, PlacedUnit]) -> Mapping[str, tuple[Change, ...]]:
    """Return the changes between two results of `placed_units`: for each unit with changes, by section and key."""
    changes = {}
    for unit in sorted(old.keys() | new.keys()):
        before, after = old.get(unit, PlacedUnit()), new.get(unit, PlacedUnit())
        if before != after and (own := tuple(_changes(unit, before, after))):
            changes[unit] = own
    return changes


def diff(old: Generation, new: Generation) -> tuple[Change, ...]:
    """Return all changes between two generations, by unit, section and key."""
    if same_generation(old, new):
        return ()
    return tuple(c for changes in compare_units(placed_units(old), placed_units(new)).values() for c in changes)


def same_generation(old: Generation, new: Generation) -> bool:
    """Return whether two generations are the same, by identity or hash, without a comparison of their units."""
    return old is new or old.hash == new.hash != ""


def needs_reload(old: Generation, new: Generation) -> bool:
    """Return whether PID 1 must reload, so that its generator places ``new`` and records it as the one in force.

    A generation that differs only in a value that no unit file has (`drift`, `health`, `on-remove`) needs it, too:
    without a run of the generator it would be saved, and never take effect.
    """
    return not same_generation(old, new)


def _has_one_value(section: str, key: str) -> bool:
    known = lookup(section, key)
    return known is not None and _ONE_VALUE.fullmatch(known.parser) is not None


def _changes(unit: str, old: PlacedUnit, new: PlacedUnit) -> Iterator[Change]:
    if old.fragment != new.fragment:
        fragment_effect = (
            Effect.RESTART
            if bool(old.fragment) != bool(new.fragment) or MASK in (old.fragment, new.fragment)
            else Effect.MANAGER
        )
        values = tuple((f,) if f else () for f in (old.fragment, new.fragment))
        yield Change(
            unit=unit,
            key=FRAGMENT,
            old=values[0],
            new=values[1],
            effect=fragment_effect,
            artifact=new.fragment or old.fragment,
            causes=new.causes or old.causes,
        )
        if fragment_effect is Effect.RESTART:
            return
    yield from file_changes(unit, old.reads, new.reads)
    for section, key in sorted(old.values.keys() | new.values.keys()):
        before, after = old.values.get((section, key), ()), new.values.get((section, key), ())
        if before != after:
            artifact, causes = directive_causes((new if after else old).files, section, key)
            yield Change(
                unit=unit,
                section=section,
                key=key,
                old=before,
                new=after,
                effect=effect(section, key, before, after),
                artifact=artifact,
                causes=causes,
            )


class _ArtifactIndex:
    """The unit artifacts of a generation: unit files by unit, drop-ins and links by the unit they belong to."""

    def __init__(self, generation: Generation) -> None:
        self.fragments: dict[str, UnitArtifact] = {}
        self.drop_ins: dict[str, dict[str, UnitFile]] = {}
        self.links: dict[str, dict[str, list[str]]] = {}
        self.provenance = generation.provenance
        for directory in _DIRECTORIES:
            for artifact in generation.artifacts:
                if isinstance(artifact, PlacedFile):
                    continue
                match artifact.path.split("/"):
                    case [top, name] if top == directory:
                        self._add_unit(name, artifact)
                    case [top, folder, name] if top == directory:
                        self._add_below(folder, name, artifact)

    @property
    def units(self) -> set[str]:
        return self.fragments.keys() | self.drop_ins.keys() | self.links.keys()

    def _add_unit(self, name: str, artifact: UnitArtifact) -> None:
        if isinstance(artifact, UnitLink) and not artifact.masks:
            self._add_link(artifact.target.rpartition("/")[2], "Alias", name)
        else:
            self.fragments.setdefault(name, artifact)

    def _add_below(self, folder: str, name: str, artifact: UnitArtifact) -> None:
        owner, _, kind = folder.rpartition(".")
        if isinstance(artifact, UnitFile):
            self.drop_ins.setdefault(owner, {}).setdefault(name, artifact)
        elif kind in _LINKS:
            self._add_link(name, _LINKS[kind], f"not {owner}" if artifact.masks else owner)

    def _add_link(self, unit: str, key: str, value: str) -> None:
        self.links.setdefault(unit, {}).setdefault(key, []).append(value)

    def unit(self, unit: str) -> PlacedUnit:
        template = template_of(unit)
        fragment = self.fragments.get(unit) or self.fragments.get(template)
        if isinstance(fragment, UnitLink):
            return PlacedUnit(fragment=MASK, item=fragment.item, provenance=self.provenance)
        drop_ins = {**self.drop_ins.get(template, {}), **self.drop_ins.get(unit, {})}
        files = [*([fragment] if fragment else []), *(drop_ins[name] for name in sorted(drop_ins))]
        return PlacedUnit(
            fragment=fragment.path if fragment else "",
            files=tuple((file.path, file.content) for file in files),
            links=tuple((key, tuple(sorted(names))) for key, names in sorted(self.links.get(unit, {}).items())),
            item=fragment.item if fragment else None,
            provenance=self.provenance,
        )
