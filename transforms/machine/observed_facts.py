"""The facts that the agent has observed: devices, network, and those of the site (facts.d), as it last kept them.

    /var/lib/ordain/facts.json    written by the agent only (`agent.daemon.minders.fact_observer`), readable by root

A compile takes them from there, so that a boot begins with the values of the last one, and a disk or an address that
appears late changes nothing in between.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ordain.transforms.document.formats.fact_table import SITE
from ordain.transforms.machine import rootfs

PATH = "var/lib/ordain/facts.json"
_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFacts:
    """The observed values by the names in `match`; ``sources`` maps each entry of facts.d to its facts.

    ``failed`` are the entries of facts.d that gave no values yet: their facts are not known.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()

    def is_known(self, name: str) -> bool:
        """Return whether the fact ``name`` is known, also if it has no value."""
        if name in self.values or not name.startswith(SITE):
            return name in self.values
        own = name.removeprefix(SITE)
        return not any(own == entry or own.startswith(f"{entry}-") for entry in self.failed)


def read_observed(root: Path) -> ObservedFacts | None:
    """Return the observed facts of this machine, None if there are none: of another machine, damaged, unreadable."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        data = json.loads(rootfs.read(root, PATH, limit=_LIMIT) or b"null")
        if data is None or data["machine"] != machine_id(root):
            return None
        return ObservedFacts(
            values={str(name): tuple(map(str, values)) for name, values in data["values"].items()},
            sources={str(name): tuple(map(str, names)) for name, names in data["sources"].items()},
            failed=frozenset(map(str, data["failed"])),
        )
    return None


def encode_observed(root: Path, facts: ObservedFacts) -> bytes:
    """Return the text of the file for the machine below ``root``."""
    data = {
        "machine": machine_id(root),
        "values": facts.values,
        "sources": facts.sources,
        "failed": sorted(facts.failed),
    }
    return json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape")


def machine_id(root: Path) -> str:
    """Return the machine-id, to which observed facts are bound: an image may hold those of another machine."""
    with contextlib.suppress(OSError):
        return (rootfs.read(root, "etc/machine-id") or b"").decode("ascii", "replace").strip()
    return ""
