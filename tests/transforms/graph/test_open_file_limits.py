"""A limit of open files above fs.nr_open would silently be lower, so it is told before it is applied."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read


@pytest.mark.parametrize(
    ("system", "limit", "more", "most"),
    [
        ("debian-12", "1048576", "", ""),
        ("debian-12", "1048577", "", "1048576"),
        ("debian-12", "infinity", "", ""),
        ("debian-12", "2000000", "sysctl: {fs.nr_open: 2000000}", ""),
        ("debian-12", "2000001", "sysctl: {fs/nr_open: 2000000}", "2000000"),
        ("fedora-42", "2000000", "", ""),
        ("fedora-42", "2000000000", "", "1073741816"),
    ],
)
def test_a_limit_above_that_of_the_kernel_is_warned_of(system: str, limit: str, more: str, most: str) -> None:
    text = f"services: {{x: {{command: /bin/x, limits: {{open-files: {limit}}}}}}}\n{more}\n"
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{text}".encode())
    assert problems == ()

    found = [p for p in compile(documents, facts_for(system)).problems if "open files" in p.what]

    assert [(p.where.pointer, most in p.what) for p in found] == (
        [("services/x/limits/open-files", True)] if most else []
    )
