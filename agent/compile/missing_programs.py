"""Programs and environment files that services need and that do not exist, and programs that are not executable.

They are a warning before the apply touches anything. Commands of ``check`` and ``health`` count like those of units.

PID 1 would notice only when it starts the service (203/EXEC), and the apply would be rolled back. It is not more than a
warning, since an earlier step of the service itself may install the program.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from ordain.agent.model import Generation
from ordain.transforms.artifacts import UnitFile, placed_paths
from ordain.transforms.errors import did_you_mean
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs
from ordain.transforms.model import Probe

_EXEC = lazy_pattern(
    r"^Exec(?:StartPre|Start|StartPost)=[@:+!|]*(/?[^\s%\"'\\@:+!|-][^\s%\"'\\]*)(?=\s|$)", re.MULTILINE
)
"""A command with a plain path or name. One with the prefix ``-`` is left out: its failure does not count."""
_ENVIRONMENT_FILE = lazy_pattern(r"^EnvironmentFile=(/[^\s%*?\[\\\"']+)$", re.MULTILINE)
"""A plain path without the prefix ``-``, which allows that the file is missing."""
SEARCHED = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
"""The directories in which PID 1 looks for a program without a path (systemd.service(5))."""
_ROOTS = "Root\\w+ MountImages ExtensionImages ExtensionDirectories Bind\\w*Paths TemporaryFileSystem ExecSearchPath"
_OTHER_ROOT = lazy_pattern(rf"^(?:{_ROOTS.replace(' ', '|')})=", re.MULTILINE)
"""With one of these settings, the service sees other files than the agent (systemd.exec(5))."""


def missing_programs(
    generation: Generation, root: Path, programs: Collection[tuple[str, str]] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield item and path or name of each missing program, except those that the documents place or mount.

    ``programs`` is the result of `programs_of`, for a caller that has it.
    """
    placed = placed_paths(generation.artifacts)
    programs = programs_of(generation) if programs is None else programs
    paths = dict.fromkeys(path for _, path in programs)  # many services run one program
    exists = {path: any(place in placed or rootfs.exists(root, place) for place in _places(path)) for path in paths}
    missing = sorted({(item, path) for item, path in programs if not exists[path]})
    if not missing:  # the usual case; it saves reading the document of the generation
        return
    mounts = tuple(f"{mount.rstrip('/')}/" for mount in generation.document.get("mounts") or ())
    yield from ((item, path) for item, path in missing if not path.startswith(mounts))


def programs_of(generation: Generation) -> tuple[tuple[str, str], ...]:
    """Return item and path or name of each program of a unit, of a ``health``, and of a ``check`` of the documents.

    The checks of the transformation database are left out: a service that is not installed lacks theirs as well.
    """
    programs: dict[tuple[str, str], None] = {}  # in order
    services = generation.document.get("services") or {}
    for artifact in generation.artifacts:
        if isinstance(artifact, UnitFile) and not _OTHER_ROOT.search(artifact.content):
            programs.update(dict.fromkeys((artifact.item, path) for path in _EXEC.findall(artifact.content)))
    for member in generation.members:
        checked = "check" in (services.get(member.item.removeprefix("services/")) or {})
        words = [command[0].lstrip("-") for command in member.check] if checked else []
        if member.health and member.health.probe is Probe.COMMAND:
            words.append(member.health.target[0])
        programs.update(dict.fromkeys((member.item, word) for word in words))
    return tuple(programs)


def unusable_programs(
    generation: Generation, root: Path, programs: Collection[tuple[str, str]] | None = None
) -> Iterator[tuple[str, str, str]]:
    """Yield item, path and fault of each program that exists, and that PID 1 cannot run.

    Those of the documents are left out: `transforms.graph.unusable_programs` knows their modes.
    """
    placed = placed_paths(generation.artifacts)
    programs = programs_of(generation) if programs is None else programs
    faults = {program: _fault(program, placed, root) for program in dict.fromkeys(program for _, program in programs)}
    yield from ((item, *fault) for item, program in sorted(programs) if (fault := faults[program]))


def _fault(program: str, placed: frozenset[str], root: Path) -> tuple[str, str] | None:
    """Return path and fault of a program that PID 1 cannot run; None for any other."""
    path = next((place for place in _places(program) if place not in placed and rootfs.exists(root, place)), "")
    if not path or placed.intersection(_places(program)):
        return None
    try:
        mode = rootfs.chase(root, path).stat().st_mode
    except OSError:  # a link that leads nowhere
        return None
    if stat.S_ISDIR(mode):
        return path, "it is a directory"
    return None if mode & 0o111 else (path, f"it is not executable (mode {stat.S_IMODE(mode):04o})")


def missing_environment_files(generation: Generation, root: Path) -> Iterator[tuple[str, str]]:
    """Yield item and path of each file of EnvironmentFile= without which PID 1 does not start the service.

    Files below /run are left out, as other services make them while the machine runs.
    """
    files = {
        (artifact.item, path)
        for artifact in generation.artifacts
        if isinstance(artifact, UnitFile)
        for path in _ENVIRONMENT_FILE.findall(artifact.content)
        if not path.startswith(("/run/", "/var/run/")) and not rootfs.exists(root, path)
    }
    if files:
        placed = placed_paths(generation.artifacts)
        mounts = tuple(f"{mount.rstrip('/')}/" for mount in generation.document.get("mounts") or ())
        yield from sorted((item, path) for item, path in files if path not in placed and not path.startswith(mounts))


def similar_programs(name: str, root: Path) -> str:
    """Return a question with the programs that are called nearly as ``name``, "" for a path or if there are none."""
    if "/" in name:
        return ""
    return did_you_mean(name, {program for folder in SEARCHED for program in rootfs.names(root, folder)})


def _places(path: str) -> tuple[str, ...]:
    """Return the paths at which PID 1 looks for a program."""
    return (path,) if path.startswith("/") else tuple(f"/{folder}/{path}" for folder in SEARCHED)
