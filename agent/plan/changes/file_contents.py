"""The lines of a placed file that differ between two generations, with their places in the documents.

A file with ``KEY=VALUE`` lines is compared by section and key, as units are; any other file line by line. The content
of a file that not everybody may read is never shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ordain.agent.model import Change, Effect, FileAction, FileChange
from ordain.transforms.artifacts import (
    AbsentFile,
    CredentialFile,
    PlacedDirectory,
    PlacedFile,
    RegularFile,
    SymbolicLink,
    row,
)
from ordain.transforms.document.text.node import pointer_below
from ordain.transforms.forbidden_paths import SECRETS
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.render.cause_comments import Cause, read_cause
from ordain.transforms.render.paths import HOST_ITEM, HOST_KEYS

SECRET = "content changed (not shown, because not everybody may read the file)"
"""The value of a change of a secret."""
MAX_CHANGES = 40
"""The changes of one file that are shown."""
MAX_LINES = 1000
"""The lines of one file that are compared; larger differences are counted only, because difflib takes square time."""
MAX_VALUE = 200
"""The characters of a line that a change holds."""
_KEY_VALUE = lazy_pattern(r"(?P<key>[^\s=\[#;][^=]*?)\s*=\s*(?P<value>.*)")
_ATTRIBUTES = ("mode", "owner", "group", "link", "credential", "home", "mount", "on_remove")

Provenance = Mapping[str, Any]
Causes = tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    cause: Cause | None = None


def item_causes(file: PlacedFile, provenance: Provenance) -> Causes:
    """Return the place in the documents that a file exists for: that of its content, else of its item."""
    own = pointer_below(f"{file.item}/files", file.path)  # a file of a service
    key = HOST_KEYS.get(file.path, "content") if file.item == HOST_ITEM else "content"
    for pointer in (f"{own}/content", f"{own}/template", f"{file.item}/{key}", f"{file.item}/template", file.item):
        if pointer in provenance:
            return (_location(pointer, provenance),)
    causes = (read_cause(line) for line in _text(file).split("\n") if line.startswith("#"))
    if cause := next(filter(None, causes), None):
        return (cause,)
    first = min((p for p in provenance if p.startswith(f"{file.item}/")), key=_line_of(provenance), default="")
    return (_location(first, provenance),) if first else ()


def content_changes(old: PlacedFile, new: PlacedFile, before: Provenance, after: Provenance) -> tuple[Change, ...]:
    """Return the changes of a file that both generations place; ``before`` and ``after`` are their provenances."""
    changes = [*_attributes(old, new, after), *_content(old, new, before, after)]
    if len(changes) > MAX_CHANGES:
        more = len(changes) - MAX_CHANGES
        changes[MAX_CHANGES:] = [_change(new.path, "", (), (f"{more} more changes",), ())]
    return tuple(changes)


def _attributes(old: PlacedFile, new: PlacedFile, after: Provenance) -> Iterator[Change]:
    """Yield the changes of the type, mode, owner and other properties of a file."""
    causes = item_causes(new, after)
    if type(old) is not type(new):
        yield _change(new.path, "type", (_TYPES[type(old)],), (_TYPES[type(new)],), causes)
        return
    rows = row(old), row(new)
    for name in _ATTRIBUTES:
        was, is_now = (_shown(name, fields[name]) for fields in rows)
        if was != is_now:
            yield _change(new.path, _NAMES.get(name, name), was, is_now, causes)


def _shown(name: str, value: object) -> tuple[str, ...]:
    if name == "credential" and (kind := str(value).partition(":")[0]) in ("ciphertext", "sealed"):
        return (kind,)
    if name == "credential" and (path := str(value).removeprefix("file:")).startswith(SECRETS):
        return (f"secret {path.removeprefix(SECRETS).rpartition('-')[0]}",)
    if name == "mode" and isinstance(value, int):
        return (f"{value:04o}",)
    return (str(value),) if value not in ("", None) else ()


def _content(old: PlacedFile, new: PlacedFile, before: Provenance, after: Provenance) -> Iterator[Change]:
    if isinstance(old, CredentialFile) and isinstance(new, CredentialFile) and old.credential != new.credential:
        if _shown("credential", old.credential) == _shown("credential", new.credential):
            yield _change(new.path, "", (), (SECRET,), item_causes(new, after))
        return
    if not (isinstance(old, RegularFile) and isinstance(new, RegularFile)) or old.content == new.content:
        return
    if not (old.mode & 0o004 and new.mode & 0o004):
        yield _change(new.path, "", (), (SECRET,), item_causes(new, after))
        return
    was, is_now = _lines(old, before), _lines(new, after)
    if (keys_before := _keys(was)) is not None and (keys_after := _keys(is_now)) is not None:
        yield from _by_key(new.path, keys_before, keys_after)
    else:
        yield from _by_line(new.path, was, is_now)


def _lines(file: RegularFile, provenance: Provenance) -> Sequence[_Line]:
    """Return the lines of a file, without the comments and empty lines of a file whose text Ordain writes."""
    own = pointer_below(f"{file.item}/files", file.path)
    of_documents = file.item.startswith("files/") or f"{own}/content" in provenance or f"{own}/template" in provenance
    if of_documents or (file.item == HOST_ITEM and file.path in HOST_KEYS):
        cause = next(iter(item_causes(file, provenance)), None)
        return [_Line(text, cause) for text in file.content.splitlines()]
    lines = []
    cause = None
    for text in file.content.splitlines():
        if text.startswith("#"):
            cause = read_cause(text) or cause
        elif text.strip():
            lines.append(_Line(text, cause))
    return lines


_Keys = Mapping[tuple[str, str], Sequence[_Line]]


def _keys(lines: Sequence[_Line]) -> _Keys | None:
    """Return the values by section and key, None if a line is not ``KEY=VALUE``, a section, a comment or empty."""
    keys: dict[tuple[str, str], list[_Line]] = {}
    section = ""
    for line in lines:
        text = line.text.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
        elif match := _KEY_VALUE.fullmatch(text):
            keys.setdefault((section, match["key"]), []).append(_Line(match["value"], line.cause))
        elif text and text[0] not in "#;":
            return None
    return keys


def _by_key(path: str, old: _Keys, new: _Keys) -> Iterator[Change]:
    for section, key in sorted(old.keys() | new.keys()):
        was, is_now = old.get((section, key), ()), new.get((section, key), ())
        if _texts(was) != _texts(is_now):
            yield _change(path, key, _texts(was), _texts(is_now), _causes(is_now or was), section)


def _by_line(path: str, old: Sequence[_Line], new: Sequence[_Line]) -> Iterator[Change]:
    start = 0
    while start < min(len(old), len(new)) and old[start].text == new[start].text:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end].text == new[-1 - end].text:
        end += 1
    old, new = old[start : len(old) - end], new[start : len(new) - end]
    if max(len(old), len(new)) > MAX_LINES:
        yield _change(path, "content", (f"{len(old)} lines",), (f"{len(new)} other lines",), _causes(new or old))
        return
    matcher = difflib.SequenceMatcher(None, _texts(old), _texts(new), autojunk=False)
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            continue
        for offset in range(max(b - a, d - c)):
            was, is_now = old[a + offset : b][:1], new[c + offset : d][:1]
            place = f"line {start + c + min(offset, max(d - c - 1, 0)) + 1}"
            yield _change(path, place, _texts(was), _texts(is_now), _causes(is_now or was))


def _texts(lines: Sequence[_Line]) -> tuple[str, ...]:
    return tuple(line.text for line in lines)


def _causes(lines: Sequence[_Line]) -> Causes:
    return tuple(dict.fromkeys(line.cause for line in lines if line.cause))


def _change(
    path: str, key: str, old: tuple[str, ...], new: tuple[str, ...], causes: Causes, section: str = ""
) -> Change:
    short = (tuple(value[:MAX_VALUE] for value in values) for values in (old, new))
    was, is_now = short
    return Change(unit=path, section=section, key=key, old=was, new=is_now, effect=Effect.NOTHING, causes=causes)


def _text(file: PlacedFile) -> str:
    return file.content if isinstance(file, RegularFile) else ""


def _location(pointer: str, provenance: Provenance) -> Cause:
    place = provenance[pointer]
    return Cause(path=place["path"], line=place["line"] or 0, layer=place["layer"], pointer=pointer)


def _line_of(provenance: Provenance) -> Any:
    return lambda pointer: (provenance[pointer]["path"], provenance[pointer]["line"] or 0, pointer)


_NAMES = {"link": "target", "on_remove": "on-remove"}
_TYPES = {
    RegularFile: "file",
    SymbolicLink: "link",
    PlacedDirectory: "directory",
    CredentialFile: "credential",
    AbsentFile: "absent",
}


def shown_changes(file: FileChange) -> tuple[Change, ...]:
    """Return the changes of a file; of a new, a removed or an equal one a single change that says so."""
    if file.changes:
        return file.changes
    if file.what is FileAction.CHANGED:
        return (_change(file.path, "", (), ("only comments changed",), file.causes),)
    values: tuple[tuple[str, ...], tuple[str, ...]] = ((), ("placed",))
    old, new = values if file.what is FileAction.NEW else values[::-1]
    return (_change(file.path, "file", old, new, file.causes),)
