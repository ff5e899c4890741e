"""The last form of blocked items: their files and units, and what the documents said of them then.

The document of a generation is what it applies, so a blocked item has its last values there, or none. The plan compares
the documents of two generations, and the values of the machine are compared with them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from ordain.agent.generation import identified
from ordain.agent.model import Generation
from ordain.transforms.artifacts import needed_secrets
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.package_set import PackageSet

_NOTHING = object()
"""The value at a pointer where a document has none."""


def keep_last_form(new: Generation, last: Generation, blocked: Iterable[str]) -> Generation:
    """Return ``new`` with the artifacts and members that the blocked items have in ``last``.

    Artifacts of ``new`` with the same path, and members of ``new`` with the same unit, take precedence.
    """
    items = set(blocked)
    paths = {artifact.path for artifact in new.artifacts}
    units = {member.unit for member in new.members}
    kept = [a for a in last.artifacts if a.item in items and a.path not in paths]
    members = [m for m in last.members if m.item in items and m.unit not in units]
    packages = _with_last_packages(new.packages, last.packages, items)
    if not kept and not members and packages == new.packages:
        return new
    kept += needed_secrets((*new.artifacts, *kept), last.artifacts)
    artifacts = tuple(sorted((*new.artifacts, *kept), key=lambda a: a.path))
    all_members = tuple(sorted((*new.members, *members), key=lambda m: m.unit))
    return identified(replace(new, artifacts=artifacts, members=all_members, packages=packages))


def _with_last_packages(new: PackageSet, last: PackageSet, items: Container[str]) -> PackageSet:
    """Return ``new`` with the packages that the blocked ``items`` wanted in ``last``."""
    wanted = {package.name: package for package in last.wanted if package.item in items}
    if not wanted:
        return new
    wanted |= {package.name: package for package in new.wanted}
    return PackageSet(
        manager=new.manager if new else last.manager, wanted=tuple(wanted[name] for name in sorted(wanted))
    )


def keep_last_values(new: Generation, last: Generation, problems: Iterable[Problem]) -> Generation:
    """Return ``new`` with the values that the items blocked by ``problems`` have in the document of ``last``."""
    items = {problem.item for problem in problems if problem.severity is Severity.BLOCKED and problem.item}
    document = _with_last_values(new.document, last.document, items) if items else new.document
    if document == new.document:
        return new
    places = _with_last_places(new, last, document, items)
    return identified(replace(new, document=document, provenance=places))


def _with_last_values(new: Mapping[str, Any], last: Mapping[str, Any], items: Iterable[str]) -> Mapping[str, Any]:
    document = deepcopy(dict(new))
    for item in sorted(items):
        *parents, name = map(unescape_key, item.split("/"))
        value = _value(last, item)
        maps = [document]
        for parent in parents:
            below = maps[-1].get(parent) if value is _NOTHING else maps[-1].setdefault(parent, {})
            if not isinstance(below, dict):
                break
            maps.append(below)
        else:
            if value is not _NOTHING:
                maps[-1][name] = value
            elif maps[-1].pop(name, _NOTHING) is not _NOTHING:
                for above, parent in reversed([*zip(maps, parents, strict=False)]):
                    if not above[parent]:  # without entries, the section has nothing to say
                        del above[parent]
    return document


def _with_last_places(
    new: Generation, last: Generation, document: Mapping[str, Any], items: Iterable[str]
) -> Mapping[str, Any]:
    """Return the provenance of ``document``: a value of a blocked item that still is written has its place of now."""
    tops = tuple(items)
    places = {at: place for at, place in new.provenance.items() if not _is_below(at, tops)}
    for at in sorted({*new.provenance, *last.provenance}):
        if _is_below(at, tops) and (value := _value(document, at)) is not _NOTHING:
            written = at in new.provenance and _value(new.document, at) == value
            if place := (new if written else last).provenance.get(at):
                places[at] = place
    return places


def _is_below(pointer: str, tops: Iterable[str]) -> bool:
    return any(pointer == top or pointer.startswith(f"{top}/") for top in tops)


def _value(document: Mapping[str, Any], pointer: str) -> object:
    value: object = document
    for part in pointer.split("/"):
        value = value.get(unescape_key(part), _NOTHING) if isinstance(value, Mapping) else _NOTHING
    return value
