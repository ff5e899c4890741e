"""The credentials that units load from files: which are missing, and which changed since a process was started.

    Generation ──needed_credentials──▶ unit → name → path ──missing_credentials──▶ MissingCredential
                                                          ──CredentialRecord.changed──▶ changes for `plan`

The value of a credential never gets into a document, a unit, a plan or a log. Only a keyed hash of it is kept, in a
file on a tmpfs that only root can read. A process gets a new value only when it is started again (systemd.exec(5),
LoadCredential=).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.model import Change, Effect, Generation, UnitState
from ordain.agent.system import atomic_files
from ordain.transforms.artifacts import UnitFile, placed_paths
from ordain.transforms.machine import rootfs
from ordain.transforms.systemd.unit_name import template_of

PATH = "run/ordain/credentials.json"
CREDENTIAL_MISSING = "CredentialMissing"
"""The code of a problem that goes away once the credential exists; its `subject` is the path."""
_KEYS = ("LoadCredential=", "LoadCredentialEncrypted=")

CredentialPaths = Mapping[str, Mapping[str, str]]
"""By unit, and by the name of the credential: the absolute path of its file."""


def needed_credentials(generation: Generation) -> CredentialPaths:
    """Return the credentials that the units of a generation load from files."""
    by_file: dict[str, dict[str, str]] = {}
    for artifact in generation.artifacts:
        if isinstance(artifact, UnitFile) and "LoadCredential" in artifact.content:
            unit = artifact.path.split("/")[1].removesuffix(".d")
            by_file.setdefault(unit, {}).update(_loaded(artifact.content))
    needed = {}
    for member in generation.members:
        template = template_of(member.unit) or member.unit
        if paths := {**by_file.get(template, {}), **by_file.get(member.unit, {})}:
            needed[member.unit] = paths
    return needed


def _loaded(content: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the path of each credential; not for a path that only systemd can resolve."""
    for line in content.splitlines():
        for key in _KEYS:
            name, _, path = line.removeprefix(key).partition(":")
            if line.startswith(key) and path.startswith("/") and "%" not in path and "\\" not in path:
                yield name, path.strip('"')


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingCredential:
    """The credential ``name`` of ``item``, whose file ``path`` does not exist."""

    item: str
    name: str
    path: str


def missing_credentials(generation: Generation, root: Path) -> tuple[MissingCredential, ...]:
    """Return the needed credentials that do not exist, except those that the documents place or mount themselves."""
    needed = needed_credentials(generation)
    if not needed:  # the usual case; it saves reading the document of the generation
        return ()
    placed = placed_paths(generation.artifacts)
    mounts = [f"{mount.rstrip('/')}/" for mount in generation.document.get("mounts") or ()]
    items = {member.unit: member.item for member in generation.members}
    missing = {
        MissingCredential(item=items[unit], name=name, path=path)
        for unit, paths in needed.items()
        for name, path in paths.items()
        if path not in placed and not path.startswith(tuple(mounts)) and not rootfs.exists(root, path)
    }
    return tuple(sorted(missing, key=lambda credential: (credential.item, credential.name)))


class CredentialRecord:
    """Records the credentials with which each process was started, in a file below ``root`` that ends with the boot."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / PATH
        self._known: dict[str, tuple[str, dict[str, str]]] = {}
        self._salt = secrets.token_hex(16)
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            data = json.loads(atomic_files.read(self._path))
            self._salt = str(data["salt"])
            self._known = {unit: (str(run), dict(hashes)) for unit, (run, hashes) in data["units"].items()}

    def changed(self, needed: CredentialPaths, states: Mapping[str, UnitState]) -> dict[str, tuple[Change, ...]]:
        """Return a change for each credential that differs from the one with which its unit was started.

        A process that is seen for the first time is recorded with the credentials of now.
        """
        known: dict[str, tuple[str, dict[str, str]]] = {}
        changes: dict[str, tuple[Change, ...]] = {}
        hashes: dict[str, str] = {}
        for unit, paths in needed.items():
            state = states.get(unit)
            if state is None or not state.running:
                continue
            now = {path: hashes.setdefault(path, self._hash(path)) for path in paths.values()}
            run, before = self._known.get(unit, ("", {}))
            if run != state.invocation_id:
                known[unit] = state.invocation_id, now
                continue
            known[unit] = run, before
            # A file that is missing for a moment is not a new credential: it is usually about to be replaced.
            different = sorted(path for path, hash in now.items() if hash and before.get(path) not in ("", hash))
            if different:
                changes[unit] = tuple(
                    Change(unit=unit, key=path, old=(before.get(path, ""),), new=(now[path],), effect=Effect.RESTART)
                    for path in different
                )
        if known != self._known:
            self._known = known
            self._write()
        return changes

    def _hash(self, path: str) -> str:
        """Return a keyed hash of the file, or of all files in the directory; "" if it cannot be read."""
        digest = hashlib.blake2b(key=bytes.fromhex(self._salt), digest_size=12)
        try:
            place = self._root / path.lstrip("/")
            for file in sorted(place.iterdir()) if place.is_dir() else [place]:
                digest.update(atomic_files.read(file))
        except OSError:
            return ""
        return digest.hexdigest()

    def _write(self) -> None:
        data = json.dumps({"salt": self._salt, "units": self._known}).encode()
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}")
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(data)
        temporary.rename(self._path)
