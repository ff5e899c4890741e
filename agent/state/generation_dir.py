"""A generation as a directory: written once, and verified whenever it is read.

    document.json  provenance.json
    manifest.json            number, hash, time, members, and all artifacts without their content
    artifacts/{normal,early,late,root}/…     the content, under the path at which it is placed

A file that did not change since the previous generation is a hard link to it, so that the cost of an apply depends on
the changes only.
"""

from __future__ import annotations

import contextlib
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
from ordain.agent.generation import identity, member_from_json, packages_from_json, packages_json
from ordain.agent.model import Generation, to_json
from ordain.agent.system import atomic_files
from ordain.transforms.artifacts import Artifact, RegularFile, UnitFile, from_row, row

FORMAT = 1


class LazyJson(Mapping[str, Any]):
    """JSON data in a file that is read when it is first used: an agent that waits for months does not keep it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @functools.cached_property
    def _data(self) -> Mapping[str, Any]:
        try:
            data: Mapping[str, Any] = json.loads(atomic_files.read(self._path))
            return data
        except (OSError, ValueError) as error:
            raise DamagedGeneration(f"{self._path}: {error}") from error

    def __getitem__(self, key: str) -> Any:
        """Return the value of ``key``."""
        return self._data[key]

    def __iter__(self) -> Iterator[str]:
        """Return the keys."""
        return iter(self._data)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._data)


def with_lazy_json(generation: Generation, folder: Path) -> Generation:
    """Return ``generation`` with its document and provenance left in ``folder``; only people ask for these."""
    lazy = {name: LazyJson(folder / f"{name}.json") for name in ("document", "provenance")}
    return replace(generation, document=lazy["document"], provenance=lazy["provenance"])


def manifest_stamp(folder: Path) -> tuple[int, int]:
    """Return a value that differs once ``folder`` holds another generation. Raises `OSError`."""
    manifest = (folder / "manifest.json").stat()
    return manifest.st_ino, manifest.st_mtime_ns


def saved_and_size(folder: Path) -> tuple[int, int]:
    """Return the time of the save (seconds since 1970) and the bytes that no other generation shares.

    Those of a damaged one are 0. Raises `OSError` for another error.
    """
    saved = size = 0
    for name in ("document.json", "provenance.json", "manifest.json", "outcome.json"):
        with contextlib.suppress(FileNotFoundError):
            status = (folder / name).stat()
            size += status.st_size if status.st_nlink == 1 else 0
            saved = int(status.st_mtime) if name == "manifest.json" else saved
    return saved, size


def write(generation: Generation, folder: Path, last: Path | None) -> None:
    """Write ``generation`` to ``folder``, which must not exist; ``last`` is the folder of the previous generation.

    Raises `OSError`. After an error or a power cut, ``folder`` does not exist, but leftovers in hidden names may.
    """
    files = {
        "document.json": _pretty(dict(generation.document)),
        "provenance.json": _pretty(dict(generation.provenance)),
        **{_place(a): a.content.encode() for a in generation.artifacts if isinstance(a, UnitFile | RegularFile)},
    }
    atomic_files.make_folder(folder.parent, 0o700)
    sweep(folder.parent)
    beside = folder.with_name(f".{folder.name}.new")
    beside.mkdir(mode=0o700)
    for name, data in files.items():
        path = beside / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if last is None or not atomic_files.link_equal(last / name, path, data):
            atomic_files.write(path, data)
    atomic_files.write(beside / "manifest.json", _pretty(_manifest(generation, files)))
    for inner, _, _ in os.walk(beside, topdown=False):
        atomic_files.sync_folder(Path(inner))
    beside.rename(folder)
    atomic_files.sync_folder(folder.parent)


def remove(folder: Path) -> None:
    """Remove a generation; an interrupted removal leaves no damaged generation. Raises `OSError`."""
    shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}.old")))


def sweep(history: Path) -> None:
    """Remove the leftovers of an interrupted write or removal. Raises `OSError`."""
    for leftover in history.glob(".*"):
        shutil.rmtree(leftover)


def read(folder: Path) -> Generation:
    """Return the generation in ``folder`` after every byte is verified. Raises `DamagedGeneration`."""
    try:
        return _read(folder)
    except PermissionError:
        raise  # it is not damaged: this user may not read it
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedGeneration(f"generation {folder.name} in {folder}: {error}") from error


def head(folder: Path) -> tuple[str, str]:
    """Return the unverified hash in the manifest and the time of the save (ISO 8601, UTC).

    Raises `DamagedGeneration`.
    """
    try:
        manifest = json.loads(atomic_files.read(folder / "manifest.json"))
        return str(manifest["hash"]), str(manifest["saved"])
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedGeneration(f"generation {folder.name} in {folder}: {error}") from error


def _read(folder: Path) -> Generation:
    manifest = json.loads(atomic_files.read(folder / "manifest.json"))
    if manifest["format"] != FORMAT:
        raise ValueError(f"has format {manifest['format']}, but only {FORMAT} can be read")
    provenance = atomic_files.read(folder / "provenance.json")
    if hashlib.sha256(provenance).hexdigest() != manifest["provenance"]:
        raise ValueError("provenance.json was changed after it was written")
    artifacts = []
    for fields in manifest["artifacts"]:
        artifact = from_row(fields)
        if isinstance(artifact, UnitFile | RegularFile):
            artifact = replace(artifact, content=atomic_files.read(folder / _place(artifact)).decode())
        artifacts.append(artifact)
    generation = Generation(
        number=int(folder.name),
        hash=manifest["hash"],
        artifacts=tuple(artifacts),
        members=tuple(member_from_json(row) for row in manifest["members"]),
        document=json.loads(atomic_files.read(folder / "document.json")),
        provenance=json.loads(provenance),
        transforms=manifest.get("transforms", ""),
        packages=packages_from_json(manifest),
    )
    if identity(generation) != generation.hash:
        raise ValueError("its content does not match its hash")
    return generation


def _place(artifact: Artifact) -> str:
    """Return the path in the generation's directory that has the content of ``artifact``."""
    place = f"artifacts/root{artifact.path}" if artifact.path.startswith("/") else f"artifacts/{artifact.path}"
    if ".." in place.split("/"):
        raise ValueError(f"{artifact.path} is outside of the generation")
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
        **packages_json(generation.packages),
        "artifacts": [{k: v for k, v in row(a).items() if k != "content"} for a in generation.artifacts],
    }


def _pretty(data: object) -> bytes:
    return json.dumps(data, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
