"""A whole generation in one file, for the boot that made it, until the agent can save it in the history.

A boot cache has only what the generator places. Without the members, the agent would not know what to keep or to stop
when documents change before its first look.
"""

from __future__ import annotations

import json
from pathlib import Path

from ordain.agent.errors import DamagedGeneration
from ordain.agent.generation import canonical, identity, member_from_json, packages_from_json, packages_json
from ordain.agent.model import Generation, to_json
from ordain.agent.system import atomic_files
from ordain.transforms.artifacts import from_row, row


def write(generation: Generation, path: Path) -> None:
    """Write ``generation`` without its number. Raises `OSError`."""
    data = {
        "hash": generation.hash,
        "transforms": generation.transforms,
        "document": dict(generation.document),
        "provenance": dict(generation.provenance),
        "members": to_json(generation.members),
        "artifacts": [row(artifact) for artifact in generation.artifacts],
        **packages_json(generation.packages),
    }
    atomic_files.replace(path, canonical(data))


def read(path: Path) -> Generation:
    """Return the generation in ``path``, with number 0. Raises `DamagedGeneration`, also if there is none."""
    try:
        data = json.loads(path.read_bytes())
        generation = Generation(
            hash=data["hash"],
            transforms=data["transforms"],
            document=data["document"],
            provenance=data["provenance"],
            members=tuple(map(member_from_json, data["members"])),
            artifacts=tuple(map(from_row, data["artifacts"])),
            packages=packages_from_json(data),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedGeneration(f"{path}: {error}") from error
    if identity(generation) != generation.hash:
        raise DamagedGeneration(f"{path}: its content does not match its hash")
    return generation
