"""The holds of administrators in /etc/ordain/boot/holds: units that no apply and no reboot changes.

The generator never reads this file. Its effect on the next boot is part of the boot cache: the cache leaves out the
mask of a unit that is held unmasked, and the links that would start a unit that is held stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.generation import held_files, holds_with_starters
from ordain.agent.json_codec import from_json
from ordain.agent.model import Generation, Hold, to_json
from ordain.agent.system import atomic_files
from ordain.generator.files import HELD
from ordain.transforms.artifacts import MASK, Artifact, UnitLink
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Link
from ordain.transforms.systemd.unit_name import template_of

PATH = "etc/ordain/boot/holds"


class UnreadableHolds(Failure):
    """The holds cannot be read, so nothing may be changed."""


def read_holds(root: Path) -> dict[str, Hold]:
    """Return the holds, by unit. Raises `UnreadableHolds`."""
    path = root / PATH
    try:
        return from_json(dict[str, Hold], json.loads(atomic_files.read(path)))
    except FileNotFoundError:
        return {}
    except OSError as error:
        reason = atomic_files.describe_error(error, path)
        raise UnreadableHolds(f"cannot read the holds: {reason}; nothing was changed") from None
    except (ValueError, TypeError, AttributeError) as error:
        what = f"cannot parse the holds in {path} ({error}); nothing was changed"
        raise UnreadableHolds(f"{what}. Remove the file and hold the units again.") from None


def write_holds(root: Path, holds: Mapping[str, Hold]) -> None:
    """Replace the holds. Raises `Failure` if /etc is not writable, because a hold must survive a reboot."""
    path = root / PATH
    try:
        atomic_files.make_folder(path.parent, 0o700)
        atomic_files.replace(path, json.dumps(to_json(holds), indent=1, sort_keys=True).encode() + b"\n")
    except OSError as error:
        raise Failure(
            f"cannot save the hold for the next boot: {atomic_files.describe_error(error, path)}; nothing was changed"
        ) from None


def write_held_files(root: Path, generation: Generation) -> None:
    """Record the files of ``generation`` that held units use, for `generator.files`. Raises `Failure`."""
    path = root / HELD
    paths = sorted(held_files(read_holds(root), generation))
    try:
        if paths:
            atomic_files.make_folder(path.parent, 0o700)
            atomic_files.replace(path, json.dumps(paths).encode())
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"cannot record the files of held units: {atomic_files.describe_error(error, path)}") from None


def with_machine_holds(root: Path, generation: Generation) -> Generation:
    """Return ``generation`` as it is placed with the holds of the machine below ``root``. Raises `UnreadableHolds`."""
    holds = read_holds(root)
    stopped = any(hold.stopped for hold in holds.values())
    return with_holds(generation, holds, read_installed(root).links if stopped else ())


def with_holds(generation: Generation, holds: Mapping[str, Hold], links: Iterable[Link] = ()) -> Generation:
    """Return ``generation`` as it is placed with ``holds``. It keeps its hash, which identifies what documents say.

    ``links`` are the units that the distribution or an administrator has enabled.
    """
    if not holds:
        return generation
    holds = holds_with_starters(holds, generation.members)
    stopped = {unit for unit, hold in holds.items() if hold.stopped}
    artifacts = {a.path: a for a in generation.artifacts if not _left_out(a, holds)}
    for link in links:
        if link.name in stopped:
            path = f"early/{link.target}.{link.kind}/{link.name}"
            artifacts[path] = UnitLink(path=path, target=MASK)
    return replace(generation, artifacts=tuple(artifacts[path] for path in sorted(artifacts)))


def _left_out(artifact: Artifact, holds: Mapping[str, Hold]) -> bool:
    if not isinstance(artifact, UnitLink):
        return False
    folder, _, name = artifact.path.partition("/")[2].rpartition("/")
    if artifact.masks:
        return not folder and any(hold.unmask and name in {unit, template_of(unit)} for unit, hold in holds.items())
    return bool(folder) and name in holds and holds[name].stopped
