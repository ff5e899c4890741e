"""A user in the group of administrators is warned about where sudo gives this group no rights."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read

RULES = "settings: {sudo-rules: {administrators: {users: ['%wheel']}}}\n"


@pytest.mark.parametrize(
    ("system", "text", "warned"),
    [
        ("sles-15", "users: {ann: {groups: [admin-group]}}", ["users/ann"]),
        ("opensuse-tumbleweed", "users: {ann: {groups: [wheel]}, bob: {groups: [video]}}", ["users/ann"]),
        ("sles-15", f"{RULES}users: {{ann: {{groups: [admin-group]}}}}", []),
        (
            "sles-15",
            "files: {/etc/sudoers.d/w: {content: '%wheel ALL=(ALL) ALL\\n'}}\nusers: {ann: {groups: [wheel]}}",
            [],
        ),
        ("rocky-9", "users: {ann: {groups: [admin-group]}}", []),
        ("debian-13", "users: {ann: {groups: [admin-group]}}", []),
    ],
)
def test_a_user_in_a_group_without_rights_is_warned_about(system: str, text: str, warned: list[str]) -> None:
    documents, problems = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\n{text}\n".encode())
    assert problems == ()

    found = compile(documents, facts_for(system), shipped=shipped()).problems

    assert [p.item for p in found if "have no rights here" in p.what] == warned
    assert all("sudo-rules" in p.hint for p in found if p.item in warned)
