"""The secrets that units load from files: which are missing, and which changed since a process was started; effect.

    generation ─▶ needed: unit → name → path ─▶ missing, or marks ─▶ changes for `plan`

A value is never read into a document, a unit, a plan or a log: what is kept is a keyed hash, in a file of root's on a
tmpfs. A process gets another value only by being started again (systemd.exec(5), LoadCredential=).
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
from ordain.transforms.artifacts import UnitFile, placed_paths
from ordain.transforms.errors import Problem
from ordain.transforms.machine import rootfs
from ordain.transforms.systemd.unit_name import template_of

PATH = "run/ordain/credentials.json"
CREDENTIAL_MISSING = "CredentialMissing"
"""The code of the problem that goes away once the credential is there."""
_KEYS = ("LoadCredential=", "LoadCredentialEncrypted=")
_ABSENT = " is not there"

CredentialPaths = Mapping[str, Mapping[str, str]]
"""By unit, by the credential's name: the absolute path it is loaded from."""


def needed_credentials(generation: Generation) -> CredentialPaths:
    """The credentials that the units of a generation load from files."""
    by_file: dict[str, dict[str, str]] = {}
    for artifact in generation.artifacts:
        if isinstance(artifact, UnitFile) and "LoadCredential" in artifact.content:
            unit = artifact.path.split("/")[1].removesuffix(".d")
            by_file.setdefault(unit, {}).update(_loaded(artifact.content))
    found = {}
    for member in generation.members:
        template = template_of(member.unit) or member.unit
        if loads := {**by_file.get(template, {}), **by_file.get(member.unit, {})}:
            found[member.unit] = loads
    return found


def _loaded(content: str) -> Iterator[tuple[str, str]]:
    for line in content.splitlines():
        for key in _KEYS:
            name, _, path = line.removeprefix(key).partition(":")
            if line.startswith(key) and path.startswith("/") and "%" not in path and "\\" not in path:
                yield name, path.strip('"')


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingCredential:
    """A credential that is not there: of this ``item`` the one called ``name``, at ``path``."""

    item: str
    name: str
    path: str


def missing_credentials(generation: Generation, root: Path) -> tuple[MissingCredential, ...]:
    """What units need and is not there; what the documents place or mount themselves will be."""
    needs = needed_credentials(generation)
    if not needs:  # nearly always, and the document may have to be read for it
        return ()
    placed = placed_paths(generation.artifacts)
    mounts = [f"{mount.rstrip('/')}/" for mount in generation.document.get("mounts") or ()]
    items = {member.unit: member.item for member in generation.members}
    return tuple(
        sorted(
            {
                MissingCredential(item=items[unit], name=name, path=path)
                for unit, loads in needs.items()
                for name, path in loads.items()
                if path not in placed and not path.startswith(tuple(mounts)) and not rootfs.exists(root, path)
            },
            key=lambda each: (each.item, each.name),
        )
    )


def absent(path: str) -> str:
    """What is wrong with a credential that is not there."""
    return f"{path}{_ABSENT}"


def path_of(problem: Problem) -> str:
    """The path that `absent` speaks of."""
    return problem.what.removesuffix(_ABSENT)


class CredentialRecord:
    """Remembers with what each process was started. The state is of this boot, below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / PATH
        self._known: dict[str, tuple[str, dict[str, str]]] = {}
        self._salt = secrets.token_hex(16)
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            data = json.loads(self._path.read_bytes())
            self._salt = str(data["salt"])
            self._known = {unit: (str(run), dict(marks)) for unit, (run, marks) in data["units"].items()}

    def changed(self, needs: CredentialPaths, states: Mapping[str, UnitState]) -> dict[str, tuple[Change, ...]]:
        """Of the units that run, those with other credentials than they were started with; others are noted down."""
        known: dict[str, tuple[str, dict[str, str]]] = {}
        found: dict[str, tuple[Change, ...]] = {}
        marks: dict[str, str] = {}
        for unit, loads in needs.items():
            state = states.get(unit)
            if state is None or not state.running:
                continue
            now = {path: marks.setdefault(path, self._mark(path)) for path in loads.values()}
            run, before = self._known.get(unit, ("", {}))
            if run != state.invocation_id:
                known[unit] = state.invocation_id, now
                continue
            known[unit] = run, before
            # One that is away for the moment is no other one.
            others = sorted(path for path, mark in now.items() if mark and before.get(path) not in ("", mark))
            if others:
                found[unit] = tuple(
                    Change(unit=unit, key=path, old=(before.get(path, ""),), new=(now[path],), effect=Effect.RESTART)
                    for path in others
                )
        if known != self._known:
            self._known = known
            self._write()
        return found

    def _mark(self, path: str) -> str:
        """A keyed hash of what is there; "" for nothing."""
        digest = hashlib.blake2b(key=bytes.fromhex(self._salt), digest_size=12)
        try:
            where = self._root / path.lstrip("/")
            for file in sorted(where.iterdir()) if where.is_dir() else [where]:
                digest.update(file.read_bytes())
        except OSError:
            return ""
        return digest.hexdigest()

    def _write(self) -> None:
        data = json.dumps({"salt": self._salt, "units": self._known}).encode()
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        beside = self._path.with_name(f".{self._path.name}")
        beside.unlink(missing_ok=True)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(data)
        beside.rename(self._path)
