"""One set of documents on many systems: systems with the same output form a group, and groups are compared."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compare_systems import Group, difference, group_systems
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused


def groups(services: str, *systems: str, more: str = "") -> tuple[Group, ...]:
    text = f"ordain: v1\nkind: Layer\nname: a\nservices: {services}\n{more}"
    documents, problems = read("a.yaml", text.encode())
    assert problems == ()
    return group_systems(documents, {name: facts_for(name) for name in systems}, shipped())


def test_systems_with_the_same_output_are_one_group_and_the_largest_group_is_first() -> None:
    found = groups("{ssh: {state: running}}", "debian-12", "rocky-9", "fedora-42", "arch")

    assert [group.systems for group in found] == [("rocky-9", "fedora-42", "arch"), ("debian-12",)]


def test_the_difference_is_a_diff_of_the_placed_files() -> None:
    first, second = groups("{ssh: {state: running}}", "rocky-9", "fedora-42", "debian-12")
    lines = difference(first, second).splitlines()

    assert lines[:2] == ["--- rocky-9", "+++ debian-12"]
    assert "-=== normal/ordain-services.target.wants/sshd.service -> ../sshd.service" in lines
    assert "+=== normal/ordain-services.target.wants/ssh.service -> ../ssh.service" in lines
    assert difference(first, first) == ""


def test_a_missing_item_is_part_of_the_difference() -> None:
    first, second = groups("{certmonger: {state: running}}", "debian-12", "fedora-42", "arch")

    assert (first.systems, second.systems) == (("debian-12", "fedora-42"), ("arch",))
    assert [problem.code for problem in second.problems] == ["Unmapped"]
    assert "\n+! a.yaml:4:" in difference(first, second)


def test_documents_refused_on_one_system_are_rendered_on_others() -> None:
    conflict = (
        "---\nordain: v1\nkind: Layer\nname: b\nmatch: {version: '12'}\nservices: {x: {command: [/b]}}\n"
        "---\nordain: v1\nkind: Layer\nname: c\nmatch: {version: '12'}\nservices: {x: {command: [/c]}}\n"
    )
    fine, refused = groups("{x: {command: [/a]}}", "debian-12", "debian-13", "arch", more=conflict)

    assert (fine.systems, refused.systems) == (("debian-13", "arch"), ("debian-12",))
    assert refused.artifacts == ()
    assert "LayerConflict" in {problem.code for problem in refused.problems}
    with pytest.raises(Refused, match="LayerConflict"):
        groups("{x: {command: [/a]}}", "debian-12", more=conflict)
