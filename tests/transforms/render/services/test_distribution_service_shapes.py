"""Services of a distribution that are more than one unit: further units, instances of a template, a unit to start."""

from __future__ import annotations

import pytest

from ordain.transforms.artifacts import UnitFile, UnitLink
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Severity
from ordain.transforms.model import Compiled, Installed, InstalledUnit, Link, Wanted

ROWS = """\
ordain: v1
kind: Transform
name: rows
services:
  files: {unit: filesd.service, units: [names.service, maps.service], package: files, packages: [files-maps]}
  console: {unit: console.service, start: console.socket, socket: console.socket, package: console}
  tunnel: {instance: tunnel@.service, package: tunnel}
  database: {unit: database.service, instance: database@.service, package: database}
  plain: {unit: plain.service}
  many: {unit: plain.service, units: [console.socket]}
package-managers: {apt: {query: dpkg-query, hold: apt-mark hold, versioned: '{name}={version}'}}
package-manager: {name: apt}
"""
UNITS = (
    *("filesd.service", "names.service", "maps.service", "console.service", "console.socket"),
    *("tunnel@.service", "database.service", "database@.service", "plain.service"),
)


def machine(*without: str, links: tuple[Link, ...] = ()) -> Installed:
    """Return a machine that has all units of the rows but ``without``."""
    units = {
        unit: InstalledUnit(name=unit, path=f"usr/lib/systemd/system/{unit}", sections={})
        for unit in UNITS
        if unit not in without
    }
    return Installed(units=units, links=links)


def compiled(body: str, installed: Installed | None = None) -> Compiled:
    documents, problems = read("x.yaml", f"{ROWS}---\nordain: v1\nkind: Layer\nname: x\n{body}\n".encode())
    assert problems == ()
    return compile(documents, facts_for("debian-13"), installed)


def wanted(result: Compiled) -> dict[str, Wanted]:
    return {member.unit: member.wanted for member in result.members}


def links(result: Compiled) -> list[str]:
    return sorted(artifact.path for artifact in result.artifacts if isinstance(artifact, UnitLink))


def problems(result: Compiled) -> list[tuple[str, Severity, str]]:
    return [(problem.code, problem.severity, problem.what) for problem in result.problems]


@pytest.mark.parametrize("state", ["running", "stopped", "masked"])
def test_the_state_of_a_service_is_that_of_all_its_units(state: str) -> None:
    result = compiled(f"services: {{files: {{state: {state}}}}}", machine())

    assert problems(result) == []
    assert wanted(result) == dict.fromkeys(("filesd.service", "names.service", "maps.service"), Wanted(state))


def test_settings_and_health_of_a_service_are_those_of_its_main_unit() -> None:
    body = "services: {files: {state: running, limits: {memory: 1G}, health: {tcp: 'localhost:80'}}}"
    result = compiled(body, machine())

    assert [a.path for a in result.artifacts if isinstance(a, UnitFile)] == ["normal/filesd.service.d/00-ordain.conf"]
    assert [member.unit for member in result.members if member.health] == ["filesd.service"]


def test_each_unit_uses_the_files_of_the_service() -> None:
    result = compiled("services: {files: {state: running, uses: [/etc/files/]}}", machine())

    assert {unit: dict(m.uses).keys() for m in result.members for unit in [m.unit]} == {
        unit: {"/etc/files/"} for unit in ("filesd.service", "names.service", "maps.service")
    }


def test_a_further_socket_uses_no_files() -> None:
    result = compiled("services: {many: {state: running, uses: [/etc/many/]}}", machine())

    assert {member.unit: len(member.uses) for member in result.members} == {"plain.service": 1, "console.socket": 0}


def test_a_further_unit_that_is_not_installed_is_left_out_with_a_warning() -> None:
    result = compiled("services: {files: {state: running}}", machine("maps.service"))

    assert sorted(wanted(result)) == ["filesd.service", "names.service"]
    (problem,) = result.problems
    assert (problem.code, problem.severity) == ("NotInstalled", Severity.WARNING)
    assert problem.hint == "install the packages files and files-maps"


def test_stopped_holds_back_the_links_of_all_units() -> None:
    both = tuple(
        Link(target="multi-user.target", kind="wants", name=unit, path=f"etc/systemd/system/{unit}")
        for unit in ("filesd.service", "maps.service", "plain.service")
    )
    result = compiled("services: {files: {state: stopped}}", machine(links=both))

    assert [path.rpartition("/")[2] for path in links(result)] == ["filesd.service", "maps.service"]


def test_an_order_after_a_service_is_one_after_all_its_units() -> None:
    result = compiled("services: {own: {command: /bin/true, after: files}}", machine())

    (text,) = (a.content for a in result.artifacts if isinstance(a, UnitFile))
    assert "After=filesd.service maps.service names.service\n" in text


def test_a_service_whose_socket_is_to_be_started_is_started_by_it() -> None:
    result = compiled("services: {console: {state: running, limits: {memory: 1G}}}", machine())

    assert wanted(result) == {"console.socket": Wanted.RUNNING, "console.service": Wanted.PRESENT}
    assert [path.rpartition("/")[2] for path in links(result)] == ["console.socket"]
    assert [m.starts for m in result.members if m.unit == "console.socket"] == ["console.service"]


def test_a_service_whose_socket_is_not_installed_is_not_installed() -> None:
    result = compiled("services: {console: {state: running}}", machine("console.socket"))

    assert [code for code, *_ in problems(result)] == ["NotInstalled"]


def test_a_unit_that_the_document_names_is_this_unit_alone() -> None:
    result = compiled("services: {console: {unit: console.service, state: running}}", machine())

    assert wanted(result) == {"console.service": Wanted.RUNNING}


@pytest.mark.parametrize("installed", [machine(), None])
def test_instances_of_a_distribution_are_units_of_its_template(installed: Installed | None) -> None:
    body = "services: {tunnel: {state: running, nice: 1, instances: {home: {}, office: {limits: {memory: 1G}}}}}"
    result = compiled(body, installed)

    assert problems(result) == []
    assert wanted(result) == dict.fromkeys(("tunnel@home.service", "tunnel@office.service"), Wanted.RUNNING)
    assert sorted(a.path for a in result.artifacts if isinstance(a, UnitFile)) == [
        "normal/tunnel@.service.d/00-ordain.conf",
        "normal/tunnel@office.service.d/00-ordain.conf",
    ]
    assert [path.rpartition("/")[2] for path in links(result)] == ["tunnel@home.service", "tunnel@office.service"]


def test_a_service_with_a_unit_and_a_template_is_the_unit_without_instances() -> None:
    assert wanted(compiled("services: {database: {state: running}}", machine())) == {"database.service": Wanted.RUNNING}
    with_instances = compiled("services: {database: {state: running, instances: 16-main}}", machine())
    assert wanted(with_instances) == {"database@16-main.service": Wanted.RUNNING}


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("tunnel: {state: running}", "tunnel runs as instances of tunnel@.service on this system, and none is named"),
        ("plain: {instances: one}", "plain has no instances on this system"),
        ("tunnel: {instances: one, listen: {stream: '80'}}", "a service with instances cannot have listen or schedule"),
    ],
)
def test_instances_that_cannot_be_had_are_blocked(entry: str, what: str) -> None:
    result = compiled(f"services: {{{entry}}}", machine())

    assert [(problem.severity, problem.what) for problem in result.problems] == [(Severity.BLOCKED, what)]


def test_a_service_of_several_packages_is_installed_by_its_name() -> None:
    result = compiled("packages: {files: {version: '1.*', hold: true}}")

    assert [(p.name, p.version, p.hold) for p in result.packages.wanted] == [
        ("files", "1.*", True),
        ("files-maps", "", True),
    ]


def test_a_service_waits_for_all_its_packages() -> None:
    result = compiled("services: {files: {state: running}}\npackages: [files]", machine(*UNITS))

    assert [p.hint for p in result.problems if p.code == "NotInstalled"] == [
        "the documents want the packages files and files-maps: it starts after the installation"
    ]
