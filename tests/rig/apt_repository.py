"""A repository of tiny Debian packages for a machine: Deb ─dpkg-deb▶ files and Packages below /srv/repository."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.machine import Machine

FOLDER = "/srv/repository"


@dataclass(frozen=True, kw_only=True)
class Deb:
    """A package with ``fields`` of its control file, ``files`` by path, and maintainer ``scripts`` by name."""

    name: str
    version: str = "1.0"
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)

    @property
    def control(self) -> str:
        """Return the control file."""
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": "all",
            "Maintainer": "Tests <tests@example.org>",
            "Description": "a package of a test",
            **self.fields,
        }
        return "".join(f"{name}: {value}\n" for name, value in fields.items())

    def build(self) -> bytes:
        """Return the .deb file."""
        with tempfile.TemporaryDirectory() as folder:
            tree, made = Path(folder, "tree"), Path(folder, "made.deb")
            control = {f"DEBIAN/{name}": text for name, text in {"control": self.control, **self.scripts}.items()}
            for path, text in {**self.files, **control}.items():
                place = tree / path.lstrip("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
                place.chmod(0o755 if text.startswith("#!") else 0o644)
            command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(made)]
            subprocess.run(command, check=True, env=CLEAN_ENVIRONMENT, capture_output=True)
            return made.read_bytes()


def serve(machine: Machine, debs: Iterable[Deb], folder: str = FOLDER) -> None:
    """Make ``debs`` the whole content of a repository, and that the only one of the machine."""
    index = ""
    for deb in debs:
        data, name = deb.build(), f"{deb.name}_{deb.version}_all.deb"
        machine.write(f"{folder}/{name}", data)
        index += f"{deb.control}Filename: ./{name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
    machine.write(f"{folder}/Packages", index)
    machine.write("/etc/apt/sources.list", f"deb [trusted=yes] file:{folder} ./\n")
    for path in machine.path("/etc/apt/sources.list.d").glob("*"):
        path.unlink()
