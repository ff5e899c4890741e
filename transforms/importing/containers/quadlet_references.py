"""The volumes, networks and files that a quadlet names, as podman names them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from ordain.transforms.errors import Where
from ordain.transforms.importing.containers.podman_command import implied, podman
from ordain.transforms.importing.containers.quadlet_objects import PodmanObject
from ordain.transforms.importing.draft.document_draft import InputFile
from ordain.transforms.importing.units.unit_assignments import Assignment
from ordain.transforms.systemd import quoting
from ordain.transforms.systemd.encode import EncodeError


class References:
    """The references of one quadlet: ``used`` objects of this import, and paths in ``mounts`` that must be mounted."""

    def __init__(self, file: InputFile, objects: Mapping[str, PodmanObject]) -> None:
        self.file, self._objects = file, objects
        self.used: dict[str, PodmanObject] = {}
        self.mounts: list[str] = []

    def absolute(self, path: str) -> str:
        """Return a path below the directory of the quadlet. Raises `EncodeError` if that is not known."""
        if path.startswith(("/", "%")):
            return path
        if not self.file.path.startswith("/"):
            what = f"{path!r} is relative to the quadlet, whose directory is not known"
            raise EncodeError(what, "import the quadlet by its absolute path, or write an absolute path")
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.file.path), path))

    def object_name(self, quadlet: str) -> str:
        """Return the name in podman of a .volume or .network of this import. Raises `EncodeError`."""
        if quadlet not in self._objects:
            raise EncodeError(f"{quadlet} is not in this import", f"import {quadlet}, too")
        self.used[quadlet] = self._objects[quadlet]
        self.require_mounts(self.used[quadlet].mount)
        return self.used[quadlet].name

    def require_mounts(self, path: str) -> None:
        """Note that ``path`` must be mounted, if there is one."""
        if path:
            self.mounts.append(quoting.quoted_word(path, specifiers=False))

    def network(self, value: str) -> str:
        """Return the value of --network for that of Network=."""
        name, colon, options = value.partition(":")
        if name.endswith((".container", ".pod")):
            raise EncodeError(f"{name} is another quadlet", f"import {name}, too, and write no options")
        return f"{self.object_name(name) if name.endswith('.network') else name}{colon}{options}"

    def volume(self, value: str) -> str:
        """Return the value of --volume for that of Volume=."""
        source, colon, rest = value.partition(":")
        if colon and source.endswith(".volume"):
            source = self.object_name(source)
        elif colon and source.startswith((".", "/")):
            source = self.absolute(source)
            self.require_mounts(source)
        return f"{source}{colon}{rest}"

    def commands(self, where: Where) -> Iterator[Assignment]:
        """Yield the commands that make the used objects."""
        for used in self.used.values():
            if used.create:
                yield podman(where, "ExecStartPre", used.create)

    def mount_units(self, where: Where) -> Iterator[Assignment]:
        """Yield the lines that require the mounts."""
        for path in self.mounts:
            yield implied(where, "Unit", "RequiresMountsFor", path)
