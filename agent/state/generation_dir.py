"""One generation in one folder: written once, verified whenever it is read; effect.

    document.json  provenance.json
    manifest.json            number, hash, when it was saved, members, and every artifact but its content
    artifacts/{normal,early,late,root}/…     the contents, under the paths they are placed at

A file that the generation before holds already is a hard link to it: what an apply costs goes by what changed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ordain.agent.errors import DamagedGeneration
from ordain.agent.generation import digest, member_from_json
from ordain.agent.model import Generation, to_json
from ordain.agent.system import atomic_files
from ordain.transforms.artifacts import Artifact, RegularFile, UnitFile, from_row, row

FORMAT = 1


class LazyJson(Mapping[str, Any]):
    """JSON data in a file, read when it is first asked for: one who waits for months need not keep it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @functools.cached_property
    def _data(self) -> Mapping[str, Any]:
        try:
            data: Mapping[str, Any] = json.loads(self._path.read_bytes())
            return data
        except (OSError, ValueError) as error:
            raise DamagedGeneration(f"{self._path}: {error}") from error

    def __getitem__(self, key: str) -> Any:
        """A value."""
        return self._data[key]

    def __iter__(self) -> Iterator[str]:
        """The keys."""
        return iter(self._data)

    def __len__(self) -> int:
        """How many."""
        return len(self._data)


def with_lazy_json(generation: Generation, folder: Path) -> Generation:
    """``generation``, which ``folder`` holds, with what only people ask for left there."""
    stored = {name: LazyJson(folder / f"{name}.json") for name in ("document", "provenance")}
    return replace(generation, document=stored["document"], provenance=stored["provenance"])


def manifest_stamp(folder: Path) -> tuple[int, int]:
    """What differs once the generation in ``folder`` is another. Raises `OSError`."""
    manifest = (folder / "manifest.json").stat()
    return manifest.st_ino, manifest.st_mtime_ns


def write(generation: Generation, folder: Path, last: Path | None) -> None:
    """Write ``generation`` to ``folder``, which must not be there; ``last`` is the folder of the one before.

    Raises `OSError`; then, or after a power cut, ``folder`` is not there, but leftovers in names with a dot may be.
    """
    files = {
        "document.json": _pretty(dict(generation.document)),
        "provenance.json": _pretty(dict(generation.provenance)),
        **{_place(a): a.content.encode() for a in generation.artifacts if isinstance(a, UnitFile | RegularFile)},
    }
    atomic_files.make_folder(folder.parent)
    sweep(folder.parent)
    beside = folder.with_name(f".{folder.name}.new")
    beside.mkdir(mode=0o755)
    for name, data in files.items():
        path = beside / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if last is None or not atomic_files.link_equal(last / name, path, data):
            atomic_files.write(path, data)
    atomic_files.write(beside / "manifest.json", _pretty(_manifest(generation, files)))
    for inner, _, _ in os.walk(beside, topdown=False):
        atomic_files.sync_folder(Path(inner))
    beside.rename(folder)
    atomic_files.sync_folder(folder.parent)


def remove(folder: Path) -> None:
    """Remove a generation; cut short, it leaves no damaged one. Raises `OSError`."""
    shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}.old")))


def sweep(history: Path) -> None:
    """Remove what a write or a removal that was cut short left behind. Raises `OSError`."""
    for leftover in history.glob(".*"):
        shutil.rmtree(leftover)


def read(folder: Path) -> Generation:
    """The generation in ``folder``, every byte of it verified. Raises `DamagedGeneration`."""
    try:
        return _read(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedGeneration(f"generation {folder.name} in {folder}: {error}") from error


def head(folder: Path) -> tuple[str, str]:
    """The hash in the manifest, unverified, and when it was saved (ISO 8601, UTC). Raises `DamagedGeneration`."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        return str(manifest["hash"]), str(manifest["saved"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedGeneration(f"generation {folder.name} in {folder}: {error}") from error


def _read(folder: Path) -> Generation:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']}, this is {FORMAT}")
    provenance = (folder / "provenance.json").read_bytes()
    if hashlib.sha256(provenance).hexdigest() != manifest["provenance"]:
        raise ValueError("provenance.json is not what was written")
    artifacts = []
    for fields in manifest["artifacts"]:
        artifact = from_row(fields)
        if isinstance(artifact, UnitFile | RegularFile):
            artifact = replace(artifact, content=(folder / _place(artifact)).read_bytes().decode())
        artifacts.append(artifact)
    found = Generation(
        number=int(folder.name),
        hash=manifest["hash"],
        artifacts=tuple(artifacts),
        members=tuple(member_from_json(row) for row in manifest["members"]),
        document=json.loads((folder / "document.json").read_bytes()),
        provenance=json.loads(provenance),
        transforms=manifest.get("transforms", ""),
    )
    if digest(found.document, found.artifacts, found.members) != found.hash:
        raise ValueError("its content does not have its hash")
    return found


def _place(artifact: Artifact) -> str:
    """Where a generation keeps the content of ``artifact``."""
    place = f"artifacts/root{artifact.path}" if artifact.path.startswith("/") else f"artifacts/{artifact.path}"
    if ".." in place.split("/"):
        raise ValueError(f"{artifact.path} leaves its generation")
    return place


def _manifest(generation: Generation, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "number": generation.number,
        "hash": generation.hash,
        "transforms": generation.transforms,
        "saved": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "provenance": hashlib.sha256(files["provenance.json"]).hexdigest(),
        "members": to_json(generation.members),
        "artifacts": [{k: v for k, v in row(a).items() if k != "content"} for a in generation.artifacts],
    }


def _pretty(data: object) -> bytes:
    return json.dumps(data, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
