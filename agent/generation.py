"""Generations: made from compiled documents, hashed, and read from JSON.

The hash covers the document, the artifacts and the members, but not the provenance, which changes with every blank line
in a document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ordain.agent.json_codec import from_json
from ordain.agent.model import Generation, Hold, to_json
from ordain.transforms.artifacts import Artifact, PlacedFile, UnitLink, needed_secrets, row
from ordain.transforms.document.text.plain_data import plain, plain_value
from ordain.transforms.model import (
    Branch,
    CatalogUse,
    Compiled,
    Drift,
    HealthCheck,
    Member,
    OnChange,
    OnRemove,
    Probe,
    Tree,
    Wanted,
)
from ordain.transforms.package_set import NO_PACKAGES, PackageSet
from ordain.transforms.systemd.unit_name import template_of

TRANSFORMS = "transforms/"
"""The prefix of pointers into the transformation database, to tell them from pointers into documents."""
_MEMBER_ENUMS = {"on_change": OnChange, "on_remove": OnRemove, "drift": Drift}
FORMAT = "ordain generation 1"
"""A part of the hashed text: with another serialization, every generation gets another identity."""


def generation(compiled: Compiled, number: int = 0) -> Generation:
    """Return the generation of ``compiled``; its number is 0 until `Store.save` gives it one."""
    tree = compiled.resolved.tree
    document = plain(tree)
    assert isinstance(document, dict)
    new = Generation(
        number=number,
        artifacts=compiled.artifacts,
        members=compiled.members,
        packages=compiled.packages,
        document=document,
        provenance={**dict(_provenance(tree, ())), **dict(_rules(compiled.catalog_uses))},
        transforms=compiled.transforms,
    )
    return identified(new)


def keep_running(
    new: Generation, old: Generation, running: Collection[str], untouchable: Collection[str] = ()
) -> Generation:
    """Return ``new`` with the removed units of ``old`` that keep running.

    These are the units in ``running`` that have ``on-remove: keep`` or are ``untouchable``. Each keeps its unit files,
    so that PID 1 can still stop it, but nothing starts it again, and it belongs to no item any more. This is done at
    every change, so a unit disappears after it has stopped by itself.
    """
    members = {m.unit for m in new.members}
    kept = [
        # Its files are removed, so there is nothing to check any more.
        replace(m, wanted=Wanted.PRESENT, starter=False, item="", check=())
        for m in old.members
        if m.ours
        and (m.on_remove is OnRemove.KEEP or m.unit in untouchable)
        and m.unit not in members
        and m.unit in running
    ]
    if not kept:
        return new
    names = {name for m in kept for name in (m.unit, template_of(m.unit)) if name}
    placed = {a.path: a for a in old.artifacts if not isinstance(a, UnitLink) and _unit_of(a.path) in names}
    artifacts = {**placed, **{a.path: a for a in new.artifacts}}
    artifacts |= {a.path: a for a in needed_secrets(artifacts.values(), old.artifacts)}
    return identified(
        replace(
            new,
            artifacts=tuple(artifacts[path] for path in sorted(artifacts)),
            members=tuple(sorted((*new.members, *kept), key=lambda m: m.unit)),
        )
    )


def identified(generation: Generation) -> Generation:
    """Return ``generation`` with its own hash, after a change."""
    return replace(generation, hash=identity(generation))


def identity(generation: Generation) -> str:
    """Return the hash of everything in ``generation``."""
    return digest(generation.document, generation.artifacts, generation.members, generation.packages)


def digest(
    document: Mapping[str, Any],
    artifacts: Iterable[Artifact],
    members: Iterable[Member],
    packages: PackageSet = NO_PACKAGES,
) -> str:
    """Return the identity of a generation: the SHA-256, in hex, of a canonical JSON text. The order does not matter."""
    body = {
        "format": FORMAT,
        "document": dict(document),
        "artifacts": [row(a) for a in sorted(artifacts, key=lambda a: a.path)],
        "members": [to_json(m) for m in sorted(members, key=lambda m: m.unit)],
        **packages_json(packages),
    }
    return hashlib.sha256(canonical(body)).hexdigest()


def packages_json(packages: PackageSet) -> dict[str, Any]:
    """Return the packages under their key in a hash or file; nothing if there are none, as in earlier versions."""
    return {"packages": to_json(packages)} if packages else {}


def packages_from_json(data: Mapping[str, Any]) -> PackageSet:
    """Return the packages of which `packages_json` made a part of ``data``. Raises `ValueError`."""
    return from_json(PackageSet, data["packages"]) if "packages" in data else NO_PACKAGES


def canonical(data: object) -> bytes:
    """Return JSON that is the same for equal values: with sorted keys, without blanks, in ASCII."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def member_from_json(data: Mapping[str, Any]) -> Member:
    """Return the member of which `to_json` made ``data``. Raises `TypeError`, `KeyError` or `ValueError`."""
    check = data.get("health")
    typed: dict[str, Any] = {
        "wanted": Wanted(data["wanted"]),
        "health": HealthCheck(**{**check, "probe": Probe(check["probe"]), "target": tuple(check["target"])})
        if check
        else None,
        "uses": tuple((path, OnChange(how)) for path, how in data.get("uses", ())),
        "check": tuple(tuple(argv) for argv in data.get("check", ())),
        **{name: kind(data[name]) for name, kind in _MEMBER_ENUMS.items() if name in data},
    }
    return Member(**{**data, **typed})


def _unit_of(path: str) -> str:
    """Return the unit whose unit file or drop-in has this artifact path, ``""`` for other artifacts."""
    match path.split("/"):
        case [where, name] if where:
            return name
        case [where, folder, _] if where and folder.endswith(".d"):
            return folder.removesuffix(".d")
    return ""


def _provenance(tree: Tree, path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(tree, Branch):
        if path and not tree.children:
            yield _pointer(path), _place(tree)
        for name, child in sorted(tree.children.items()):
            yield from _provenance(child, (*path, name))
    else:
        overrode = [{**_place(o), "value": plain_value(o.value)} for o in tree.overrode]
        yield _pointer(path), {**_place(tree), "overrode": overrode}


def _rules(rules: Iterable[CatalogUse]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield by pointer the rows of the transformation database that were used: place, reason of the match, items."""
    for rule in rules:
        said = [
            {**_place(leaf), "value": plain_value(leaf.value), "match": match}
            for leaf, match in zip((rule.leaf, *rule.leaf.overrode), rule.matches, strict=True)
        ]
        yield f"{TRANSFORMS}{rule.leaf.where.pointer}", {**said[0], "overrode": said[1:], "items": list(rule.items)}


def _place(tree: Tree) -> dict[str, Any]:
    return {"layer": tree.layer, "path": tree.where.path, "line": tree.where.line}


def _pointer(path: tuple[str, ...]) -> str:
    return "/".join(name.replace("~", "~0").replace("/", "~1") for name in path)


def use_of(path: str, member: Member) -> OnChange | None:
    """Return the job after a change of ``path`` if ``member`` uses it, else None; the longest path counts."""
    uses = [use for use in member.uses if path == use[0] or (use[0].endswith("/") and path.startswith(use[0]))]
    return max(uses, key=lambda use: len(use[0]))[1] if uses else None


def held_files(holds: Mapping[str, Hold], generation: Generation) -> frozenset[str]:
    """Return the placed files that held units use: what an administrator has made of them stays."""
    held = holds_with_starters(holds, generation.members)
    users = [member for member in generation.members if member.unit in held and member.uses]
    files = [a.path for a in generation.artifacts if isinstance(a, PlacedFile)] if users else []
    return frozenset(path for path in files if any(use_of(path, member) for member in users))


def holds_with_starters(holds: Mapping[str, Hold], members: Iterable[Member]) -> Mapping[str, Hold]:
    """Return ``holds`` with the sockets and timers of held services added, because these would start the services."""
    starters = {member.unit: holds[member.starts] for member in members if member.starts in holds} if holds else {}
    return {**starters, **holds}
