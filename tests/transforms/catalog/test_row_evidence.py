"""Every value of the database says how it is known, and since when."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ordain.transforms.catalog import audit_results, row_evidence
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.row_evidence import ROWS, How, evidence, known_name
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.model import Leaf, Tree


def values(tree: Tree, path: str) -> Iterator[tuple[str, Leaf]]:
    if isinstance(tree, Leaf):
        yield path, tree
        return
    for name, child in tree.children.items():
        yield from values(child, f"{path}/{name}")


@pytest.mark.parametrize("system", list(known_systems()))
def test_every_value_says_how_it_is_known_and_when(system: str) -> None:
    names, _ = names_for(shipped(), facts_for(system), shared_versions(shipped()))
    ways = []
    for section in ROWS:
        for pointer, leaf in values(names.tree.branch(section), section):
            section_of, name, key = (*pointer.split("/", 2), "path")[:3]
            known = evidence(system, f"{section_of}/{name}", key, str(leaf.value))
            assert re.fullmatch(r"20[0-9]{2}-[0-9]{2}(?:-[0-9]{2})?", known.when), pointer
            assert known.of or known.how is How.MEMORY, pointer
            ways.append(known.how)

    assert len(ways) > 100


def test_every_audit_says_what_was_read() -> None:
    for rows in audit_results.verified().values():
        assert rows[audit_results.READ].keys() == {"how", "of", "when"}
        assert How(rows[audit_results.READ]["how"]) in (How.ARCHIVE, How.PACKAGING)


def test_the_last_statement_fits_every_value() -> None:
    *_, last = row_evidence._statements().values()

    assert last.keys() == {"how", "when"}
    assert last["how"] == How.MEMORY


@pytest.mark.parametrize(
    ("system", "row", "key", "value", "how"),
    [
        ("debian-12", "services/ssh", "unit", "ssh.service", How.ARCHIVE),
        ("debian-12", "services/ssh", "unit", "another.service", How.MEMORY),
        ("fedora-43", "services/chrony", "unit", "chronyd.service", How.PACKAGING),
        # A rebuild has the packages of the system that it rebuilds.
        ("rocky-9", "services/chrony", "unit", "chronyd.service", How.PACKAGING),
        ("amzn-2023", "services/nginx", "package", "nginx", How.DOCUMENTATION),
        ("arch", "services/nginx", "unit", "nginx.service", How.MEMORY),
        ("", "services/nginx", "unit", "nginx.service", How.MEMORY),
    ],
)
def test_a_value_is_known_by_the_best_evidence(system: str, row: str, key: str, value: str, how: How) -> None:
    assert evidence(system, row, key, value).how is how


@pytest.mark.parametrize(
    ("id", "version", "name"),
    [
        ("debian", "12", "debian-12"),
        ("rocky", "9.6", "rocky-9"),
        ("opensuse-leap", "15.6", "opensuse-leap-15.6"),
        ("opensuse-tumbleweed", "20260101", "opensuse-tumbleweed"),
        ("arch", "", "arch"),
        ("linuxmint", "22", ""),
    ],
)
def test_a_system_is_named_by_its_os_release(id: str, version: str, name: str) -> None:
    assert known_name(id, version) == name
