"""What a machine takes of what its source brought, and the labels that its Node gives it; effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.compile import transforms
from ordain.agent.fleet.report import Taken
from ordain.agent.release.accept import nodes_in
from ordain.agent.release.admit import Admission
from ordain.agent.release.signing import check
from ordain.agent.settings import Trust
from ordain.agent.sources import Snapshot
from ordain.transforms.facts import read_facts
from ordain.transforms.names import shared_versions
from ordain.transforms.resolve import with_node


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """The documents that are taken, the release that they are, and the labels of the machine."""

    snapshot: Snapshot
    release: Taken
    labels: Mapping[str, tuple[str, ...]]


def take(root: Path, trust: Trust, snapshot: Snapshot) -> Taking:
    """What the machine below ``root`` takes of ``snapshot``; see `Admission.admit`. Raises `SourceError`."""
    facts = read_facts(root)
    shared = shared_versions(transforms(root))
    admitted, release = Admission(root=root, trust=trust, check=check).admit(snapshot, facts, shared)
    taken = Taken(channel=release.channel, number=release.number, hash=release.hash) if release else Taken()
    labels = with_node(nodes_in(admitted.texts), facts, shared).labels
    return Taking(snapshot=admitted, release=taken, labels=labels)
