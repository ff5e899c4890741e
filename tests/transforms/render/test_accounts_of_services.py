"""An account of a service that the transformation database knows is a system account on every system."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import names_for, shared_versions
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
        ("rocky-9", "users: {www: {state: present}}", "system-1-apache.conf", 'u apache - "" /usr/share/httpd -'),
        ("rocky-9", "users: {apache: {}}", "system-1-apache.conf", 'u apache - "" /usr/share/httpd -'),
        ("rocky-9", "users: {www: {home: /srv}}", "system-1-apache.conf", 'u apache - "" /srv -'),
        ("debian-12", "users: {www: {}}", "system-1-www-data.conf", 'u www-data - "" /var/www -'),
        ("debian-12", "users: {snmp: {}}", "system-1-Debian-snmp.conf", 'u Debian-snmp - "" - -'),
        ("debian-12", "users: {chrony: {}}", "system-1-_chrony.conf", 'u _chrony - "" - -'),
        (
            "debian-12",
            "users: {postgres: {}}",
            "system-1-postgres.conf",
            'u postgres - "" /var/lib/postgresql /bin/bash',
        ),
        ("sles-15", "users: {www: {}}", "system-1-wwwrun.conf", 'g www -\nu wwwrun -:www "" /var/lib/wwwrun -'),
        (
            "sles-15",
            "users: {www: {group: web}}",
            "system-1-wwwrun.conf",
            'g web -\nu wwwrun -:web "" /var/lib/wwwrun -',
        ),
        ("arch", "groups: {www-group: {}}", "system-0-http.conf", "g http -"),
    ],
)
def test_the_account_of_a_service_gets_a_system_number_and_is_as_its_package_makes_it(
    system: str, section: str, file: str, line: str
) -> None:
    assert rendered(system, section) == {f"/run/ordain/sysusers/{file}": line}


def test_a_document_may_say_that_it_is_an_ordinary_user() -> None:
    files = rendered("rocky-9", "users: {www: {system: false}}")

    assert sorted(files) == ["/home/apache", "/run/ordain/sysusers/user-1-apache.conf"]


def test_another_user_is_an_ordinary_one() -> None:
    files = rendered("rocky-9", "users: {erin: {}}")

    assert sorted(files) == ["/home/erin", "/run/ordain/sysusers/user-1-erin.conf"]


@pytest.mark.parametrize(
    ("system", "user", "group"),
    [("debian-13", "debian", "sudo"), ("rocky-9", "rocky", "wheel"), ("arch", "arch", "wheel")],
)
def test_the_account_of_people_in_an_image_is_an_ordinary_one(system: str, user: str, group: str) -> None:
    files = rendered(system, "users: {cloud-user: {}}")

    assert sorted(files) == [f"/home/{user}", f"/run/ordain/sysusers/user-1-{user}.conf"]
    assert f"m {user} {group}" in files[f"/run/ordain/sysusers/user-1-{user}.conf"]
    assert files == rendered(system, "users: {cloud-user: {groups: [admin-group]}}")


def test_the_keys_of_a_service_account_are_not_placed_in_the_home_that_its_package_gives_it() -> None:
    text = "ordain: v1\nkind: Layer\nname: a\nusers: {www: {keys: [ssh-ed25519 AAAA]}}\n"
    documents, _ = read("a.yaml", text.encode())

    (problem, *_) = compile(documents, facts_for("debian-13"), shipped=shipped()).problems
    assert "no document sets its home" in problem.what


@pytest.mark.parametrize("system", sorted(known_systems()))
def test_every_account_of_the_database_can_be_made(system: str) -> None:
    names = names_for(shipped(), facts_for(system), shared_versions(shipped()))[0]
    fixed = {"nobody", "nogroup"}
    accounts = [f"{name}: {{}}" for name in names.tree.branch("users") if names.user(name) not in fixed]
    documents, wrong = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\nusers: {{{', '.join(accounts)}}}\n".encode())
    problems = compile(documents, facts_for(system), shipped=shipped()).problems
    assert wrong == ()
    # Some neutral names are one account of this system, which is a clash.
    assert [str(problem) for problem in problems if problem.code not in ("Clash", "Doubtful")] == []
