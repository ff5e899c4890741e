"""Programs that services start and that are not there: told before anything is touched; effect: looks below ``root``.

PID 1 finds out when it starts them (203/EXEC), and the apply would go back. Only a warning: a program may come with the
service's own steps before its start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ordain.agent.model import Generation
from ordain.transforms.artifacts import UnitFile, placed_paths
from ordain.transforms.machine import rootfs

_EXEC = re.compile(r"^Exec(?:StartPre|Start|StartPost)=[@:+!|]*(/[^\s%\"'\\]+)(?=\s|$)", re.MULTILINE)
"""A command with a plain path; behind ``-`` a failure is meant to be of no account."""
_ROOTS = "Root\\w+ MountImages ExtensionImages ExtensionDirectories Bind\\w*Paths TemporaryFileSystem"
_ELSEWHERE = re.compile(rf"^(?:{_ROOTS.replace(' ', '|')})=", re.MULTILINE)
"""With one of these the service sees another root than we do (systemd.exec(5))."""


def missing_programs(generation: Generation, root: Path) -> Iterator[tuple[str, str]]:
    """Item and path, once each; what the documents place, or mount something over, will be there."""
    placed = placed_paths(generation.artifacts)
    units = [
        (artifact.item, path)
        for artifact in generation.artifacts
        if isinstance(artifact, UnitFile) and not _ELSEWHERE.search(artifact.content)
        for path in _EXEC.findall(artifact.content)
    ]
    there = {path: path in placed or rootfs.exists(root, path) for _, path in units}
    missing = sorted({(item, path) for item, path in units if not there[path]})
    if not missing:  # nearly always, and the document need not be looked at
        return
    mounts = tuple(f"{mount.rstrip('/')}/" for mount in generation.document.get("mounts") or ())
    yield from ((item, path) for item, path in missing if not path.startswith(mounts))
