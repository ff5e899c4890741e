"""The Transforms of a machine, merged once for all machines that the same ones match."""

from __future__ import annotations

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import Names, names_for
from ordain.transforms.document.reader import read
from ordain.transforms.model import Document


def transforms(unit: str, *, weight: int = 0) -> tuple[Document, ...]:
    """Return a database of two Transforms, of which the second one matches Debian."""
    text = f"""\
ordain: v1
kind: Transform
name: all
weight: {weight}
services: {{ssh: {{unit: sshd.service}}}}
---
ordain: v1
kind: Transform
name: debian
match: {{os: debian}}
weight: 1
services: {{ssh: {{unit: {unit}}}}}
"""
    documents, problems = read("t.yaml", text.encode())
    assert problems == ()
    return documents


def merged(database: tuple[Document, ...], system: str) -> Names:
    names, _ = names_for(database, facts_for(system), {})
    return names


def test_an_edited_transform_changes_the_names() -> None:
    before, after, again = transforms("ssh.service"), transforms("other.service"), transforms("ssh.service")

    units = [merged(database, "debian-12").service("ssh", "unit") for database in (before, after, again, before)]

    assert units == ["ssh.service", "other.service", "ssh.service", "ssh.service"]


def test_machines_get_the_names_of_the_transforms_that_match_them() -> None:
    database = transforms("ssh.service")

    units = [merged(database, system).service("ssh", "unit") for system in ("debian-12", "arch", "debian-13")]

    assert units == ["ssh.service", "sshd.service", "ssh.service"]


def test_machines_with_the_same_transforms_share_one_merge_but_not_the_record_of_used_rows() -> None:
    database = transforms("ssh.service")
    one, other = merged(database, "debian-12"), merged(database, "debian-13")

    one.service("ssh", "unit")

    assert one.tree is other.tree
    assert (one.asked, other.asked) == ({"services/ssh"}, set())


def test_a_weight_decides_between_the_same_transforms() -> None:
    assert merged(transforms("ssh.service", weight=2), "debian-12").service("ssh", "unit") == "sshd.service"
    assert merged(transforms("ssh.service"), "debian-12").service("ssh", "unit") == "ssh.service"


SITE = """\
ordain: v1
kind: Transform
name: all
services:
  files: {unit: f.service, units: [a.service, b.service], package: files, packages: [files-a], start: f.socket}
roles:
  store: {services: [files], default: files}
---
ordain: v1
kind: Transform
name: site
tier: site
services:
  files: {units: {b.service: null, c.service: true}, packages: null, start: null}
roles:
  store: {services: [files, other]}
"""


def test_higher_transforms_add_to_the_units_of_a_service_and_remove_some() -> None:
    documents, problems = read("t.yaml", SITE.encode())
    assert problems == ()
    for order in (documents, documents[::-1]):
        names, problems = names_for(order, facts_for("debian-13"), {})

        assert problems == ()
        assert names.further_units("files") == ("a.service", "c.service")
        assert names.packages("files") == ("files",)
        assert (names.service("files", "unit"), names.service("files", "start")) == ("f.service", "")
        role = names.tree.branch("roles").branch("store")
        assert (role.value("services"), role.value("default")) == (("files", "other"), "files")
