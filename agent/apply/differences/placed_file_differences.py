"""Placed files that somebody else has changed: read again, and compared with the record of their placement."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ordain.agent.apply.differences.difference import Difference
from ordain.agent.condition import StatusCondition
from ordain.agent.generation import use_of
from ordain.agent.model import Change, Effect, Generation
from ordain.agent.plan.changes.file_contents import MAX_VALUE, content_changes, item_causes
from ordain.agent.system.bounded_reads import HINT, BoundedReads, NotAnswering, mount_of, mount_points
from ordain.agent.system.cached_file import CachedFile
from ordain.generator import safe_tree
from ordain.generator.phases import RECORDS
from ordain.generator.safe_tree import PathState, PlacementError
from ordain.transforms.artifacts import PlacedDirectory, PlacedFile, RegularFile, SymbolicLink
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.model import Drift, Member, OnChange

HIDDEN = ("/tmp/", "/var/tmp/")
"""The agent has directories of its own there (PrivateTmp=), so it cannot see the files of the machine."""
SHOWN_MAX = 1 << 20
"""The content of a file that has more bytes is not compared line by line."""
Signature = tuple[int, ...]


class PlacedFiles:
    """The placed files of the machine below ``root``. It remembers their states until their inodes change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[str, tuple[Signature, PathState]] = {}
        self.reads = BoundedReads()
        self._records = [CachedFile(root / record / "placed.json", _placed_states) for record in RECORDS.values()]

    async def differences(self, generation: Generation) -> list[Difference]:
        """Return the files of ``generation`` that are not as they were placed, and mounts that do not answer."""
        placed: dict[str, PathState] = {}
        for record in self._records:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                placed |= record()
        self._seen = {path: seen for path, seen in self._seen.items() if path in placed}
        files = [
            file
            for file in generation.artifacts
            if isinstance(file, PlacedFile) and file.path in placed and _is_compared(file)
        ]
        points = mount_points()
        by_mount: dict[str, list[PlacedFile]] = {}
        for file in files:
            by_mount.setdefault(mount_of(os.fspath(self._root / file.path.lstrip("/")), points), []).append(file)
        states: dict[str, tuple[PathState, tuple[Change, ...]]] = {}
        silent: list[Difference] = []
        for mount, on_mount in by_mount.items():
            try:
                states |= await self.reads.run(mount, partial(self._compared, on_mount, placed, generation))
            except NotAnswering:
                silent.append(_not_compared(mount, on_mount))
        differences = [
            self._difference(file, placed[file.path], *states[file.path], generation)
            for file in files
            if file.path in states
        ]
        return differences + silent

    def _compared(
        self, files: Iterable[PlacedFile], placed: Mapping[str, PathState], generation: Generation
    ) -> dict[str, tuple[PathState, tuple[Change, ...]]]:
        """Return, by path, the states of files that differ from ``placed``, and the changes that correct them."""
        states = {}
        for file in files:
            if file.mount and not os.path.ismount(self._root / file.mount.lstrip("/")):
                continue
            actual, ours = self._actual(file.path), placed[file.path]
            # A directory in a home belongs to its user, who may change it as long as it serves its purpose.
            if not safe_tree.serves_user(actual, ours) if _is_of_home(file) else actual != ours:
                states[file.path] = actual, tuple(self._file_changes(file, ours, actual, generation))
        return states

    def paths(self) -> frozenset[str]:
        """Return the paths of all placed files that the agent can see."""
        paths: set[str] = set()
        for record in self._records:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                paths |= record().keys()
        return frozenset(path for path in paths if not path.startswith(HIDDEN))

    def _actual(self, path: str) -> PathState:
        try:
            return self._state(path)
        except (PlacementError, OSError):
            return PathState("other")

    def _state(self, path: str) -> PathState:
        """Return the state of a file; it is hashed only if its inode has changed since the last time."""
        try:
            status = os.lstat(self._root / path.lstrip("/"))
        except (FileNotFoundError, NotADirectoryError):
            return safe_tree.read_state(self._root, path)[0]
        signature = (
            *(status.st_ino, status.st_mode, status.st_uid, status.st_gid),
            *(status.st_size, status.st_mtime_ns, status.st_ctime_ns),
        )
        if path not in self._seen or self._seen[path][0] != signature:
            state = safe_tree.read_state(self._root, path)[0]
            self._seen[path] = signature, replace(state, data=b"")
        return self._seen[path][1]

    def _difference(
        self,
        file: PlacedFile,
        ours: PathState,
        actual: PathState,
        changes: tuple[Change, ...],
        generation: Generation,
    ) -> Difference:
        causes = item_causes(file, generation.provenance)
        place = f"{causes[0].path}:{causes[0].line}: " if causes and causes[0].path else ""
        shown = "; ".join(_in_words(change) for change in changes)
        left_to_user = _is_of_home(file) and actual.kind == "directory" and self._user_above(file.path)
        owner = f"{file.owner}:{file.group}"
        remedy = (
            f"run `chown {owner} {file.path}` and `chmod {ours.mode:04o} {file.path}`; an apply changes no directory"
        )
        condition = StatusCondition(
            code="FileChanged",
            what=f"{place}{file.path} was changed by somebody else: {shown}",
            hint=f"{remedy} in a directory of its user" if left_to_user else "`ordainctl apply` places it again",
            item=file.item,
            fault=True,
            enforced=is_enforced(file, generation),
        )
        return Difference(
            condition=condition,
            pointer=causes[0].pointer if causes else file.item,
            actual=shown,
            changes=() if left_to_user else tuple(_changes_of_readers(file, generation.members, ours, actual)),
            path="" if left_to_user else file.path,
            file_changes=() if left_to_user else changes,
        )

    def _file_changes(
        self, file: PlacedFile, ours: PathState, actual: PathState, generation: Generation
    ) -> Iterator[Change]:
        """Yield the changes that lead from the file on the machine to the wanted one."""
        causes = item_causes(file, generation.provenance)

        def change(key: str, old: str, new: str) -> Change:
            return Change(unit=file.path, key=key, old=(old,), new=(new,), effect=Effect.NOTHING, causes=causes)

        if actual.kind != ours.kind:
            yield change("type", _KINDS.get(actual.kind, actual.kind), _KINDS.get(ours.kind, ours.kind))
            return
        if actual.mode != ours.mode:
            yield change("mode", f"{actual.mode:04o}", f"{ours.mode:04o}")
        for key, at in (("owner", "uid"), ("group", "gid")):
            was, is_now = getattr(actual, at), getattr(ours, at)
            if was != is_now:
                yield change(key, self._account(key, was), self._account(key, is_now))
        if actual.digest != ours.digest:
            if ours.kind == "link":
                target = file.target if isinstance(file, SymbolicLink) else ""
                yield change("target", self._target(file.path), target)
            else:
                yield from self._content_changes(file, actual, generation) or (
                    change("content", "another", "as placed"),
                )

    def _content_changes(self, file: PlacedFile, actual: PathState, generation: Generation) -> tuple[Change, ...]:
        """Return the changed lines of a file; none if its content is large, binary, or not for everybody."""
        if not isinstance(file, RegularFile) or not actual.mode & 0o004:
            return ()
        try:
            data = safe_tree.read_state(self._root, file.path)[0].data
            text = data.decode() if len(data) <= SHOWN_MAX else ""
        except (PlacementError, OSError, UnicodeDecodeError):
            return ()
        return content_changes(replace(file, content=text), file, generation.provenance, generation.provenance)

    def _target(self, path: str) -> str:
        with contextlib.suppress(OSError):
            return str((self._root / path.lstrip("/")).readlink())[:MAX_VALUE]
        return ""

    def _user_above(self, path: str) -> bool:
        """Return whether a user can replace a directory at ``path``; then `FilePlacement` leaves it as it is."""
        with contextlib.suppress(OSError):
            return safe_tree.user_above(self._root, path) != 0
        return False

    def _account(self, key: str, number: int) -> str:
        return safe_tree.account_name(self._root, number, "passwd" if key == "owner" else "group")


def _is_compared(file: PlacedFile) -> bool:
    """Return whether the agent can see a file."""
    return not file.path.startswith(HIDDEN)


def _is_of_home(file: PlacedFile) -> bool:
    return bool(file.home) and isinstance(file, PlacedDirectory)


def _not_compared(mount: str, files: Sequence[PlacedFile]) -> Difference:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    condition = StatusCondition(
        code="MountNotAnswering",
        what=f"{mount} does not answer: {files[0].path}{more} cannot be compared with the documents",
        hint=HINT,
        item=files[0].item,
        fault=True,
    )
    return Difference(condition=condition)


_KINDS = {"nothing": "missing", "other": "neither file, link nor directory"}


def _in_words(change: Change) -> str:
    if not change.key:
        return change.new[0] if change.new else "content"
    key = f"[{change.section}] {change.key}" if change.section else change.key
    # The content of a file may be long, and a report has room for little of it: the plan shows the lines.
    if key not in ("type", "mode", "owner", "group", "target"):
        return f"content ({key})" if key != "content" else key
    return f"{key} {', '.join(change.new) or 'none'} → {', '.join(change.old) or 'none'}"


def _changes_of_readers(
    file: PlacedFile, members: Iterable[Member], ours: PathState, actual: PathState
) -> Iterator[Change]:
    for member in members:
        if on_change := use_of(file.path, member):
            effect = Effect.RESTART if on_change is OnChange.RESTART else Effect.RELOAD
            yield Change(unit=member.unit, key=file.path, old=(_shown(actual),), new=(_shown(ours),), effect=effect)


def is_mended(path: str, generation: Generation, released: Collection[str]) -> bool:
    """Return whether a changed file is placed again without an apply: ``released`` units use it, or it is enforced."""
    if any(member.unit in released and use_of(path, member) for member in generation.members):
        return True
    files = (a for a in generation.artifacts if isinstance(a, PlacedFile) and a.path == path)
    return any(is_enforced(file, generation) for file in files)


def is_enforced(file: PlacedFile, generation: Generation) -> bool:
    """Return whether a changed file is placed again at once: it says so itself, or a unit that uses it does."""
    if any(member.drift is Drift.ENFORCE and use_of(file.path, member) for member in generation.members):
        return True
    section, _, name = file.item.partition("/")
    words = generation.document.get(section, {}).get(unescape_key(name), {})
    entries = {file.path: words} if section == "files" else words.get("files", {}) if isinstance(words, Mapping) else {}
    return any(
        isinstance(entry, Mapping) and entry.get("drift") == Drift.ENFORCE
        for path, entry in entries.items()
        if file.path == path or file.path.endswith(f"/{path}")
    )


def _shown(state: PathState) -> str:
    """Return a state in a few words, which differ for states that differ."""
    if state.kind == "nothing":
        return "missing"
    return f"{state.digest[:16] or state.kind} {state.mode:04o} {state.uid}:{state.gid}"


def _placed_states(data: bytes) -> Mapping[str, PathState]:
    return {path: PathState(**row["ours"]) for path, row in json.loads(data).items()}
