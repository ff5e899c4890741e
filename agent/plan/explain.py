"""The origin of a unit, a file or a value: from the placed files back to the documents.

    subject, Generation, files of administrators ──explain──▶ Explanation

Comments in our files name the place in the documents that the lines below them come from
(`transforms.render.cause_comments`). The provenance of the generation has, for each pointer, who set it and what that
overrode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ordain.agent.errors import OrdainError
from ordain.agent.generation import TRANSFORMS
from ordain.agent.model import Generation
from ordain.agent.plan.changes.diff import placed_units
from ordain.transforms.artifacts import Artifact, SymbolicLink, UnitLink, content_of
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.errors import did_you_mean
from ordain.transforms.render.cause_comments import read_cause, read_default
from ordain.transforms.systemd.unit_name import template_of

DIRECTORIES = {
    "/run/systemd/generator/": "normal/",
    "/run/systemd/generator.early/": "early/",
    "/run/systemd/generator.late/": "late/",
}
"""The generator's three directories on a machine (systemd.generator(7)), with their names in artifact paths."""


class NotInGeneration(OrdainError):
    """The generation holds no such unit, file or pointer; the message suggests similar names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenanceEntry:
    """The place that sets a value of the documents, or a row of the transformation database.

    ``overrode`` are the values that it replaced, latest first. ``match`` is the reason why a Transform matches.
    ``known`` says how a shipped row is known, and since when.
    """

    pointer: str
    value: object = None
    path: str = ""
    line: int = 0
    layer: str = ""
    match: str = ""
    known: str = ""
    overrode: tuple[ProvenanceEntry, ...] = ()

    def __str__(self) -> str:
        words = [self.layer, self.match, f"known by {self.known}" if self.known else ""]
        return f"{self.path}:{self.line} ({'; '.join(filter(None, words))})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedLine:
    """A directive in one of our files, and the place in the documents that it comes from.

    ``why`` is the reason for a directive that no document asks for.
    """

    text: str
    section: str = ""
    why: str = ""
    pointer: str = ""
    path: str = ""
    line: int = 0
    layer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedFile:
    """One artifact, line by line; ``link`` is the target of a link."""

    path: str
    link: str = ""
    lines: tuple[ExplainedLine, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideFile:
    """A file of somebody else for a unit: it ``masks`` the unit, ``replaces`` our file, or adds assignments."""

    path: str
    masks: bool = False
    replaces: bool = False
    assignments: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything that is known about a unit, a path or a pointer.

    ``hands`` are the files of others for the unit (the name is the key in ``explain --json``). ``changed`` maps
    ``[Section] Key`` to our value, where one of these files overrides it or adds to it.
    """

    about: str
    generation: int
    item: str = ""
    wanted: str = ""
    origins: tuple[ProvenanceEntry, ...] = ()
    files: tuple[ExplainedFile, ...] = ()
    hands: tuple[OverrideFile, ...] = ()
    changed: Mapping[str, str] = field(default_factory=dict)


def unit_name_of(about: str) -> str:
    """Return the unit that ``about`` names, ``""`` if it is a path or a pointer.

    >>> unit_name_of("web"), unit_name_of("web.timer"), unit_name_of("services/web"), unit_name_of("/etc/fstab")
    ('web.service', 'web.timer', '', '')
    """
    if "/" in about:
        return ""
    return about if "." in about else f"{about}.service"


def explain(about: str, generation: Generation, hands: Iterable[OverrideFile] = ()) -> Explanation:
    """Return what ``generation`` knows of a unit, a path or a pointer; ``hands`` only matter for a unit.

    Raises `NotInGeneration`.
    """
    if about.startswith("/"):
        return _path(about, generation)
    if "/" in about or about in generation.document:
        return _pointer(about, generation)
    if not any(m.unit == unit_name_of(about) for m in generation.members) and any(
        provenance_entries(f"services/{about}", generation)
    ):
        return _pointer(f"services/{about}", generation)  # a neutral name that is not a unit name on this machine
    return _unit(unit_name_of(about), generation, tuple(hands))


def _unit(unit: str, generation: Generation, hands: tuple[OverrideFile, ...]) -> Explanation:
    placed = placed_units(generation)
    member = next((m for m in generation.members if m.unit == unit), None)
    if member is None and unit not in placed:
        known = {*placed, *(m.unit for m in generation.members)}
        raise NotInGeneration(_unknown(f"no document mentions {unit}", did_you_mean(unit, known)))
    item = member.item if member else ""
    ours = placed[unit].values if unit in placed else {}
    touched = {(section, key) for hand in hands for section, key, _ in hand.assignments}
    return Explanation(
        about=unit,
        generation=generation.number,
        item=item,
        wanted=str(member.wanted) if member else "",
        origins=(*provenance_entries(item, generation), *rules(item, generation)) if item else (),
        files=tuple(_file(a) for a in generation.artifacts if _is_for(a, unit)),
        hands=hands,
        changed={f"[{s}] {k}": " ".join(v) for (s, k), v in sorted(ours.items()) if (s, k) in touched},
    )


def _path(path: str, generation: Generation) -> Explanation:
    wanted = next((path.replace(d, top, 1) for d, top in DIRECTORIES.items() if path.startswith(d)), path)
    artifact = next((a for a in generation.artifacts if a.path == wanted), None)
    if artifact is None:
        raise NotInGeneration(f"{path} is not placed by generation {generation.number}")
    file = _file(artifact)
    pointers = {line.pointer for line in file.lines if line.pointer}
    return Explanation(
        about=path,
        generation=generation.number,
        item=artifact.item,
        origins=tuple(
            entry
            for entry in provenance_entries(artifact.item, generation)
            if entry.pointer in pointers or not pointers
        ),
        files=(file,),
    )


def _pointer(pointer: str, generation: Generation) -> Explanation:
    values = (*provenance_entries(pointer, generation), *provenance_entries(f"{TRANSFORMS}{pointer}", generation))
    if not values:
        raise NotInGeneration(_unknown(f"nothing is set at {pointer}", _near_step(pointer, generation.provenance)))
    files = []
    for artifact in generation.artifacts:
        whole = _file(artifact)
        lines = tuple(line for line in whole.lines if line.pointer and _below(line.pointer, pointer))
        if artifact.item == pointer and not any(line.pointer for line in whole.lines):
            lines = whole.lines  # a file that names no places, all of which is made from this item
        if lines:
            files.append(ExplainedFile(path=whole.path, lines=lines))
    return Explanation(about=pointer, generation=generation.number, origins=values, files=tuple(files))


def provenance_entries(pointer: str, generation: Generation) -> Iterator[ProvenanceEntry]:
    """Yield the values that are set at ``pointer`` and below it; all values for ``""``."""
    for at, entry in sorted(generation.provenance.items()):
        if _below(at, pointer):
            yield _whole(at, entry, generation)


def rules(item: str, generation: Generation) -> Iterator[ProvenanceEntry]:
    """Yield the rows of the transformation database that ``item`` used."""
    for at, entry in sorted(generation.provenance.items()):
        if at.startswith(TRANSFORMS) and item in entry.get("items", ()):
            yield _whole(at, entry, generation)


def _whole(at: str, entry: Mapping[str, Any], generation: Generation) -> ProvenanceEntry:
    overrode = tuple(_entry(at, older.get("value"), older) for older in entry.get("overrode", ()))
    value = entry.get("value") if at.startswith(TRANSFORMS) else value_at(generation.document, at)
    return _entry(at, value, entry, overrode)


def value_at(document: Mapping[str, object], pointer: str) -> object:
    """Return the value of ``document`` at an RFC 6901 pointer without its first slash, or None."""
    value: object = document
    for part in pointer.split("/"):
        value = value.get(unescape_key(part)) if isinstance(value, Mapping) else None
    return value


def _entry(
    pointer: str, value: object, entry: Mapping[str, Any], overrode: tuple[ProvenanceEntry, ...] = ()
) -> ProvenanceEntry:
    """Return an entry of `Generation.provenance` as a value."""
    path, line, layer, match = (entry.get(name, "") for name in ("path", "line", "layer", "match"))
    return ProvenanceEntry(
        pointer=pointer, value=value, path=path, line=line or 0, layer=layer, match=match, overrode=overrode
    )


def _below(pointer: str, top: str) -> bool:
    return not top or pointer == top or pointer.startswith(f"{top}/")


def _is_for(artifact: Artifact, unit: str) -> bool:
    """Return whether an artifact is the unit, a drop-in for it, or a link to it."""
    names = {unit, template_of(unit)} - {""}
    _, *rest = artifact.path.split("/")
    if len(rest) == 2 and not rest[0].endswith(".d"):
        return rest[1] in names
    return bool(rest) and rest[0].removesuffix(".d") in names


def _file(artifact: Artifact) -> ExplainedFile:
    if isinstance(artifact, UnitLink | SymbolicLink):
        return ExplainedFile(path=artifact.path, link=artifact.target)
    return ExplainedFile(path=artifact.path, lines=tuple(_lines(content_of(artifact))))


def _lines(content: str) -> Iterator[ExplainedLine]:
    section, cause = "", ExplainedLine(text="")
    for text in content.split("\n"):
        if text.startswith("#"):
            cause = _cause(text)
        elif text.startswith("["):
            section, cause = text.strip("[]"), ExplainedLine(text="")
        elif text and not text.startswith("X-Ordain"):
            yield replace(cause, text=text, section=section)


def _cause(comment: str) -> ExplainedLine:
    """Return what a comment says about the lines below it, without their text."""
    if reason := read_default(comment):
        return ExplainedLine(text="", why=reason)
    if (cause := read_cause(comment)) is None:
        return ExplainedLine(text="")
    return ExplainedLine(text="", pointer=cause.pointer, path=cause.path, line=cause.line, layer=cause.layer)


def _near_step(pointer: str, known: Iterable[str]) -> str:
    """Return a hint about the first step of ``pointer`` that does not exist."""
    pointers = [other.split("/") for other in known]
    for depth, step in enumerate(pointer.split("/")):
        siblings = {other[depth] for other in pointers if len(other) > depth}
        if step not in siblings:
            return did_you_mean(step, siblings)
        pointers = [other for other in pointers if len(other) > depth and other[depth] == step]
    return ""


def _unknown(what: str, hint: str) -> str:
    return f"{what}; {hint}" if hint else what
