"""Files of a service in its configuration directory that nobody reads: the service reads only its main file there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.transforms.artifacts import Artifact, CredentialFile, RegularFile, SymbolicLink, UnitFile
from ordain.transforms.catalog.config_directories import is_read, main_files
from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Problem, warning
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key


def unread_files(artifacts: Iterable[Artifact], names: Names, place_of: PlaceOf) -> Iterator[Problem]:
    """Warn of each file of a service that is neither a main file, nor named by another file or unit of the documents.

    A main file of the documents may include any file below its directory, for example by a pattern, so that nothing is
    said beside one.
    """
    artifacts = tuple(artifacts)
    services = names.tree.branch("services")
    for file in artifacts:
        if not isinstance(file, RegularFile | SymbolicLink | CredentialFile) or not file.item.startswith("services/"):
            continue
        service = file.item.split("/")[1]
        folder, _, name = file.path.rpartition("/")
        row = services.branch(service)
        patterns = None
        if str(row.value("config", "")).rstrip("/") == folder:
            own = row.value("reads")
            patterns = tuple(map(str, own)) if isinstance(own, tuple) else main_files(folder)
        if patterns is None or is_read(name, patterns):
            continue
        others = [a for a in artifacts if a is not file]
        if not any(_may_read(other, file.path, folder, patterns) for other in others):
            yield _problem(file, service, folder, name, patterns, place_of)


def _may_read(other: Artifact, path: str, folder: str, patterns: tuple[str, ...]) -> bool:
    """Return whether ``other`` is a main file in ``folder``, or names ``path``."""
    if isinstance(other, UnitFile | RegularFile) and path in other.content:
        return True
    above, _, name = other.path.rpartition("/")
    return above == folder and is_read(name, patterns)


def _problem(
    file: RegularFile | SymbolicLink | CredentialFile,
    service: str,
    folder: str,
    name: str,
    patterns: tuple[str, ...],
    place_of: PlaceOf,
) -> Problem:
    reads = f"{service} reads only {', '.join(patterns)} there" if patterns else f"{service} reads no file there"
    what = f"nothing is known to read {file.path}: {reads}"
    main = next((pattern for pattern in patterns if not set(pattern) & set("*?[")), "")
    hint = f"write it into {main}, or place a {main} that includes {name}" if main else "place it where it is read"
    return warning(file.item, place_of_key(file.item, (f"files/{name}",), place_of), what, hint, "Doubtful")
