"""The record of the packages that Ordain has installed, which are the only ones that it removes.

It is in root/var/lib/ordain/packages.json. Without that file, no package is ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.system import atomic_files
from ordain.transforms.package_set import PackageManager

PATH = "var/lib/ordain/packages.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRecord:
    """The work of Ordain on packages, by their names on the system.

    ``installed`` and ``held`` are those that it installed, and whose versions it holds, with ``manager``. ``began`` are
    those whose installation has begun and not ended. ``settled`` were as the documents wanted them once, each with the
    wish (`WantedPackage.wish`): if one is not so any more, somebody else has changed it. ``failures`` are the reasons
    why the last attempt failed.
    """

    manager: PackageManager = field(default_factory=PackageManager)
    installed: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    began: tuple[str, ...] = ()
    settled: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


def read_package_record(root: Path) -> PackageRecord:
    """Return the record, or an empty one if it cannot be read."""
    try:
        return from_json(PackageRecord, json.loads(atomic_files.read(root / PATH)))
    except (OSError, ValueError, TypeError, AttributeError):
        return PackageRecord()


def write_package_record(root: Path, record: PackageRecord) -> None:
    """Replace the record, unless it is the same. Raises `OSError`: without a record, nothing may be installed."""
    if record != read_package_record(root):
        atomic_files.make_folder((root / PATH).parent, 0o700)
        atomic_files.replace(root / PATH, json.dumps(to_json(record), sort_keys=True).encode(), atomic_files.PUBLIC)
