"""The files that change between two generations, and the units that read them."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ordain.agent.generation import canonical
from ordain.agent.model import Change, Effect, FileAction, FileChange, Generation
from ordain.agent.plan.changes.file_contents import content_changes, item_causes
from ordain.transforms.artifacts import PlacedFile, row
from ordain.transforms.model import OnChange

FilesRead = tuple[tuple[str, OnChange, str], ...]
"""The files that a unit reads: path, the job that a change causes, hash."""


def changed_files(old: Generation, new: Generation) -> tuple[FileChange, ...]:
    """Return the files that are placed, replaced or restored, by path."""
    before, after = _files(old), _files(new)
    changes = []
    for path in sorted(before.keys() | after.keys()):
        old_file, new_file = before.get(path), after.get(path)
        if _same(old_file) != _same(new_file):
            action = FileAction.CHANGED if old_file and new_file else FileAction.NEW if new_file else FileAction.REMOVED
            changes.append(
                FileChange(
                    path=path,
                    what=action,
                    item=(new_file or before[path]).item,
                    changes=content_changes(old_file, new_file, old.provenance, new.provenance)
                    if old_file and new_file
                    else (),
                    causes=item_causes(new_file, new.provenance)
                    if new_file
                    else item_causes(before[path], old.provenance),
                )
            )
    return tuple(changes)


def unchanged_files(old: Generation, new: Generation) -> frozenset[str]:
    """Return the files that both generations place alike, if there are others: else no file is placed at all."""
    before, after = _files(old), _files(new)
    same = {path for path in before.keys() & after.keys() if _same(before[path]) == _same(after[path])}
    return frozenset(same) if len(same) < len(before.keys() | after.keys()) else frozenset()


def files_read(generation: Generation) -> Mapping[str, FilesRead]:
    """Return the files of the documents that each unit reads, by unit."""
    files = {path: _digest(artifact) for path, artifact in _files(generation).items()}
    paths = sorted(files)
    read = {}
    for member in generation.members if files else ():
        on_change: dict[str, OnChange] = {}
        for used, reaction in sorted(member.uses, key=lambda use: len(use[0])):  # the longest matching path counts
            on_change |= dict.fromkeys(_below(used, paths), reaction)
        if on_change:
            read[member.unit] = tuple((path, on_change[path], files[path]) for path in sorted(on_change))
    return read


def file_changes(unit: str, old: FilesRead, new: FilesRead) -> Iterator[Change]:
    """Yield the changes in the files that a unit reads; their effect is a reload unless the documents say restart."""
    before, after = ({path: (on_change, digest) for path, on_change, digest in read} for read in (old, new))
    for path in sorted(before.keys() | after.keys()):
        old_file, new_file = before.get(path), after.get(path)
        if old_file is None or new_file is None or old_file[1] != new_file[1]:
            on_change = new_file[0] if new_file else old_file[0] if old_file else OnChange.AUTO
            yield Change(
                unit=unit,
                key=path,
                old=(old_file[1],) if old_file else (),
                new=(new_file[1],) if new_file else (),
                effect=Effect.RESTART if on_change is OnChange.RESTART else Effect.RELOAD,
            )


def _files(generation: Generation) -> dict[str, PlacedFile]:
    return {artifact.path: artifact for artifact in generation.artifacts if isinstance(artifact, PlacedFile)}


def _below(used: str, paths: Sequence[str]) -> Sequence[str]:
    """Return those of the sorted ``paths`` that ``used`` covers; with a trailing slash it covers a tree."""
    if not used.endswith("/"):
        at = bisect_left(paths, used)
        return paths[at : at + 1] if at < len(paths) and paths[at] == used else ()
    # "0" comes right after "/".
    return paths[bisect_left(paths, used) : bisect_left(paths, f"{used[:-1]}0")]


def _same(file: PlacedFile | None) -> PlacedFile | None:
    return file and replace(file, item="")


def _digest(file: PlacedFile) -> str:
    """Return a hash of the content, mode and owner of a file. Comments count, because no format is known here."""
    return hashlib.sha256(canonical({**row(file), "item": "", "on_remove": ""})).hexdigest()[:16]
