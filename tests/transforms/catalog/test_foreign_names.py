"""A service by the name that some system gives it leads to its neutral name."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.foreign_names import neutral_name
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read


@pytest.mark.parametrize(
    ("name", "neutral"),
    [("httpd", "apache"), ("apache2", "apache"), ("sshd", "ssh"), ("crond", "cron"), ("named", "bind"), ("nginx", "")],
)
def test_a_unit_of_some_system_has_a_neutral_name(name: str, neutral: str) -> None:
    assert neutral_name(name) == neutral


def test_a_blocked_service_is_told_its_neutral_name() -> None:
    documents, _ = read("a.yaml", b"ordain: v1\nkind: Layer\nname: a\nservices: {httpd: {}}\n")
    (problem,) = compile(documents, facts_for("debian-13"), shipped=shipped()).problems

    assert problem.code == "Unmapped"
    assert problem.hint == "write apache, its name on every system"


@pytest.mark.parametrize(
    ("system", "name", "known"),
    [
        ("flatcar", "cron", "most systems"),
        ("arch", "drbd", "debian, suse, opensuse"),
        ("debian-13", "locksmithd", "flatcar"),
    ],
)
def test_a_service_that_other_systems_have_is_not_taken_for_a_misspelt_name(system: str, name: str, known: str) -> None:
    documents, _ = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\nservices: {{{name}: {{}}}}\n".encode())
    (problem,) = compile(documents, facts_for(system), shipped=shipped()).problems

    systems = problem.what.removeprefix(f"no Transform names the unit of {name} on this system, only on ")
    assert set(systems.split(", ")) == set(known.split(", "))
    assert problem.hint.startswith("add `command` to define it")


def test_an_order_after_a_service_of_other_systems_names_them() -> None:
    body = "services: {own: {command: /bin/true, after: [locksmithd]}}"
    documents, _ = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\n{body}\n".encode())
    (problem,) = compile(documents, facts_for("debian-13"), shipped=shipped()).problems

    assert problem.hint == "only flatcar can have it: limit the layer to them with `match`, or name another service"


def test_a_package_of_two_services_leads_to_the_one_that_it_is_named_after() -> None:
    assert neutral_name("mariadb-server") == "mariadb"
