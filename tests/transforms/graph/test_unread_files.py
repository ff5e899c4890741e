"""A file of a service in a directory where only main files are read is warned of, unless something names it."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog import config_directories
from ordain.transforms.catalog.config_directories import takes_drop_ins
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem
from ordain.transforms.graph import ignored_files


def problems_of(services: str, system: str = "fedora-42") -> tuple[Problem, ...]:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\nservices: {{{services}}}\n".encode())
    assert problems == ()
    return compile(documents, facts_for(system), shipped=shipped()).problems


@pytest.mark.parametrize(
    ("services", "what", "hint"),
    [
        (
            "haproxy: {files: {a.map: {content: a}}}",
            "nothing is known to read /etc/haproxy/a.map: haproxy reads only haproxy.cfg there",
            "write it into haproxy.cfg, or place a haproxy.cfg that includes a.map",
        ),
        (
            "squid: {files: {local.conf: {content: a}}}",
            "nothing is known to read /etc/squid/local.conf: squid reads only squid.conf",
            "write it into squid.conf, or place a squid.conf that includes local.conf",
        ),
        (
            "munge: {files: {key: {credential: {name: munge}}}}",
            "nothing is known to read /etc/munge/key: munge reads only munge.key there",
            "write it into munge.key",
        ),
    ],
)
def test_a_file_beside_the_main_file_is_warned_of(services: str, what: str, hint: str) -> None:
    (problem,) = problems_of(services)

    assert problem.what.startswith(what)
    assert problem.hint.startswith(hint)
    assert (problem.code, str(problem.severity), problem.where.line) == ("Doubtful", "warning", 4)


@pytest.mark.parametrize(("name", "warned"), [("a.conf", False), ("main", False), ("a.map", True)])
def test_a_transform_of_a_site_says_which_files_a_service_reads(name: str, warned: bool) -> None:
    text = f"""\
ordain: v1
kind: Transform
name: site
tier: site
services: {{shop: {{unit: shop.service, config: /etc/shop, reads: ['*.conf', main]}}}}
---
ordain: v1
kind: Layer
name: d
services: {{shop: {{command: /bin/shop, files: {{{name}: {{content: a}}}}}}}}
"""
    documents, problems = read("d.yaml", text.encode())
    assert problems == ()

    said = [p.what for p in compile(documents, facts_for("arch"), shipped=shipped()).problems]

    assert any("shop reads only *.conf, main there" in what for what in said) is warned


def test_no_file_is_read_in_the_directory_of_the_clusters_of_postgresql() -> None:
    (problem,) = problems_of("postgresql: {files: {a.conf: {content: a}}}", "debian-12")

    assert "postgresql reads no file there" in problem.what
    assert problem.hint == "place it where it is read"


@pytest.mark.parametrize(
    ("services", "system"),
    [
        ("haproxy: {files: {haproxy.cfg: {content: a}}}", "fedora-42"),
        ("haproxy: {files: {haproxy.cfg: {content: a}, a.map: {content: a}}}", "fedora-42"),  # it may include it
        ("haproxy: {files: {a.map: {content: a}, /srv/b: {content: see /etc/haproxy/a.map}}}", "fedora-42"),
        ("haproxy: {files: {a.map: {content: a}}, environment: {MAP: /etc/haproxy/a.map}}", "fedora-42"),
        ("haproxy: {files: {/etc/other/a.map: {content: a}}}", "fedora-42"),
        ("haproxy: {files: {maps/a.map: {content: a}}}", "fedora-42"),
        ("squid: {files: {local.conf: {content: a}}}", "debian-12"),  # a directory of drop-ins
        ("monit: {files: {local: {content: a}}}", "debian-12"),
        ("slurmd: {files: {slurm.conf: {content: a}}}", "debian-12"),
        ("own: {command: /usr/bin/own, files: {a.conf: {content: a}}}", "debian-12"),
    ],
)
def test_a_file_that_is_read_or_may_be_is_not_warned_of(services: str, system: str) -> None:
    assert [p.what for p in problems_of(services, system) if "nothing is known to read" in p.what] == []


@pytest.mark.parametrize("system", list(known_systems()))
def test_every_configuration_directory_has_a_kind(system: str) -> None:
    """So that a new row says where a file may be placed: in drop-in-directories.yaml or main-files.yaml."""
    names, _ = names_for(shipped(), facts_for(system), shared_versions(shipped()))
    directories = {names.service(name, "config") for name in names.services()} - {""}
    drop_ins = ignored_files._readers().keys()
    unknown = [
        directory
        for directory in directories
        if directory.rstrip("/") not in drop_ins and config_directories.main_files(directory) is None
    ]

    assert unknown == []


def test_a_directory_has_one_kind() -> None:
    assert config_directories._rows().keys() & ignored_files._readers().keys() <= {"/etc", "/etc/containers"}


def test_a_drop_in_is_written_only_where_drop_ins_are_read() -> None:
    directories = ("/etc/ssh/sshd_config.d/", "/etc/monit.d/", "/etc/haproxy/", "/etc/postgresql/", "")

    assert [takes_drop_ins(directory) for directory in directories] == [True, True, False, False, False]
