"""What a machine takes of what its source brought, and the labels that its Node gives it; effect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ordain.agent.delivery.fleet.report import Taken
from ordain.agent.delivery.protocol import Snapshot
from ordain.agent.delivery.release.admission import Admission
from ordain.agent.delivery.release.signing import check
from ordain.agent.delivery.release.verify import nodes_in
from ordain.agent.settings import Trust
from ordain.transforms.catalog.machine_catalog import transforms
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.machine.facts import read_facts
from ordain.transforms.resolve.resolve import with_node


def take(root: Path, trust: Trust, snapshot: Snapshot) -> tuple[Snapshot, Taken, Mapping[str, tuple[str, ...]]]:
    """What the machine below ``root`` takes of ``snapshot``, the release that this is, and the machine's labels.

    See `Admission.admit`. Raises `SourceError`. A plain tuple: an answer of a class from here would have the agent,
    which asks for it elsewhere, load all of this too.
    """
    facts = read_facts(root)
    shared = shared_versions(transforms(root))
    admitted, release = Admission(root=root, trust=trust, check=check).admit(snapshot, facts, shared)
    taken = Taken(channel=release.channel, number=release.number, hash=release.hash) if release else Taken()
    return admitted, taken, with_node(nodes_in(admitted.texts), facts, shared).labels
