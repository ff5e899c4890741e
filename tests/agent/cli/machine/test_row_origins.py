"""`ordainctl explain` says how a shipped row of the transformation database is known, and since when."""

from __future__ import annotations

import pytest

from ordain.agent.cli.machine.row_origins import with_evidence
from ordain.agent.plan.explain import ProvenanceEntry
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import DIRECTORY

SHIPPED = str(DIRECTORY / "10-services.yaml")


@pytest.mark.parametrize(
    ("pointer", "value", "path", "system", "known"),
    [
        ("transforms/services/chrony/unit", "chronyd.service", SHIPPED, "fedora-43", "packaging source, 2026-"),
        ("transforms/milestones/network/unit", "network.target", SHIPPED, "arch", "documentation, 2026-"),
        ("transforms/services/nginx/unit", "nginx.service", SHIPPED, "arch", "memory, 2026-"),
        ("transforms/paths/python", "/usr/bin/python3", SHIPPED, "debian-12", "archive, 2026-"),
        # A site knows its own rows, documents are not rows, and settings have evidence of their own.
        ("transforms/services/nginx/unit", "nginx.service", "/etc/ordain/transforms/a.yaml", "arch", ""),
        ("services/nginx/limits/memory", "1G", SHIPPED, "arch", ""),
        ("transforms/settings/banner/writes/issue/file", "/etc/issue", SHIPPED, "arch", ""),
    ],
)
def test_a_shipped_row_says_how_it_is_known(pointer: str, value: str, path: str, system: str, known: str) -> None:
    (entry,) = with_evidence([ProvenanceEntry(pointer=pointer, value=value, path=path)], facts_for(system))

    assert entry.known.startswith(known)
    assert bool(entry.known) is bool(known)


def test_the_evidence_is_behind_the_place_of_the_row() -> None:
    entry = ProvenanceEntry(
        pointer="a", path="/x.yaml", line=3, layer="arch", match="os arch", known="memory, 2026-11-22"
    )

    assert str(entry) == "/x.yaml:3 (arch; os arch; known by memory, 2026-11-22)"
