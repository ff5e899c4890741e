"""An account of a service that the transformation database knows is a system account on every system."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read


def rendered(system: str, section: str) -> dict[str, str]:
    """Return the files and directories that a section makes on a system, by path, without their comments."""
    documents, wrong = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\n{section}\n".encode())
    result = compile(documents, facts_for(system), shipped=shipped())
    assert (wrong, [str(p) for p in result.problems if p.code != "Doubtful"]) == ((), [])
    return {
        artifact.path: "\n".join(
            line for line in getattr(artifact, "content", "").splitlines() if line and line[0] != "#"
        )
        for artifact in result.artifacts
        if not artifact.path.endswith(".account")
    }


@pytest.mark.parametrize(
    ("system", "section", "file", "line"),
    [
        ("rocky-9", "users: {www: {state: present}}", "system-1-apache.conf", 'u apache - "" - -'),
        ("rocky-9", "users: {apache: {}}", "system-1-apache.conf", 'u apache - "" - -'),
        ("debian-12", "users: {www: {}}", "system-1-www-data.conf", 'u www-data - "" - -'),
        ("arch", "groups: {www-group: {}}", "system-0-http.conf", "g http -"),
    ],
)
def test_the_account_of_a_service_gets_a_system_number_and_no_home(
    system: str, section: str, file: str, line: str
) -> None:
    assert rendered(system, section) == {f"/run/ordain/sysusers/{file}": line}


def test_a_document_may_say_that_it_is_an_ordinary_user() -> None:
    files = rendered("rocky-9", "users: {www: {system: false}}")

    assert sorted(files) == ["/home/apache", "/run/ordain/sysusers/user-1-apache.conf"]


def test_another_user_is_an_ordinary_one() -> None:
    files = rendered("rocky-9", "users: {erin: {}}")

    assert sorted(files) == ["/home/erin", "/run/ordain/sysusers/user-1-erin.conf"]
