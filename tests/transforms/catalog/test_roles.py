"""Roles: the documents, the unit files and the system decide which service has one, and the same ones decide alike."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.transforms.artifacts import UnitFile
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Compiled, Installed, InstalledUnit, Link, Wanted, strings

SHARED = shared_versions(shipped())


def machine(*units: str, enabled: tuple[str, ...] = (), masked: tuple[str, ...] = ()) -> Installed:
    return Installed(
        units={
            unit: InstalledUnit(name=unit, path=f"usr/lib/systemd/system/{unit}", sections={}, masked=unit in masked)
            for unit in units
        },
        links=tuple(Link(target="multi-user.target", kind="wants", name=u, path=f"etc/{u}") for u in enabled),
    )


def compiled(body: str, installed: Installed | None = None, system: str = "debian-13", **details: str) -> Compiled:
    documents, problems = read("x.yaml", f"ordain: v1\nkind: Layer\nname: x\n{body}\n".encode())
    assert problems == ()
    facts = replace(facts_for(system), details={name: (value,) for name, value in details.items()})
    return compile(documents, facts, installed, shipped=shipped())


def provider(result: Compiled, role: str = "time-sync") -> object:
    return result.resolved.tree.branch("services").branch(role).value("provider")


def blocked(result: Compiled) -> list[tuple[str, str]]:
    return [(problem.code, problem.what) for problem in result.problems]


@pytest.mark.parametrize(
    ("units", "unit"),
    [
        (("systemd-timesyncd.service",), "systemd-timesyncd.service"),
        (("chrony.service",), "chrony.service"),
        (("ntpsec.service",), "ntpsec.service"),
    ],
)
def test_the_role_has_the_service_that_is_installed(units: tuple[str, ...], unit: str) -> None:
    result = compiled("services: {time-sync: {state: running}}", machine(*units))

    assert blocked(result) == []
    assert [(member.unit, member.wanted, member.item) for member in result.members] == [
        (unit, Wanted.RUNNING, "services/time-sync")
    ]


@pytest.mark.parametrize(
    ("body", "installed", "service"),
    [
        # An entry names it.
        ("services: {time-sync: {provider: ntpsec}}", machine("chrony.service", "ntpsec.service"), "ntpsec"),
        # Another entry runs it, or the documents want its package.
        ("services: {time-sync: {}, chrony: {state: running}}", machine("systemd-timesyncd.service"), "chrony"),
        ("services: {time-sync: {}}\npackages: [chrony]", machine("systemd-timesyncd.service"), "chrony"),
        ("services: {time-sync: {}}\npackages: {chrony: absent}", machine("systemd-timesyncd.service"), "timesyncd"),
        # Of several installed ones, the enabled one, and else the usual one.
        (
            "services: {time-sync: {}}",
            machine("chrony.service", "systemd-timesyncd.service", enabled=("chrony.service",)),
            "chrony",
        ),
        ("services: {time-sync: {}}", machine("chrony.service", "systemd-timesyncd.service"), "timesyncd"),
        ("services: {time-sync: {}}", machine("chrony.service", masked=("chrony.service",)), "timesyncd"),
        # None is installed: the usual one, which is then not installed.
        ("services: {time-sync: {}}", machine(), "timesyncd"),
    ],
)
def test_the_strongest_evidence_decides(body: str, installed: Installed, service: str) -> None:
    assert provider(compiled(body, installed)) == service


@pytest.mark.parametrize(
    ("system", "service"),
    [
        ("debian-13", "timesyncd"),
        ("ubuntu-24.04", "timesyncd"),
        ("ubuntu-26.04", "chrony"),
        ("rocky-9", "chrony"),
        ("opensuse-leap-16.0", "chrony"),
        ("arch", "timesyncd"),
    ],
)
def test_a_system_without_a_machine_has_its_usual_service(system: str, service: str) -> None:
    assert provider(compiled("services: {time-sync: {}}", system=system)) == service


def test_facts_of_a_described_machine_decide() -> None:
    assert provider(compiled("services: {time-sync: {}}", package="chrony")) == "chrony"
    assert provider(compiled("services: {time-sync: {}}", unit="ntpsec.service")) == "ntpsec"


@pytest.mark.parametrize(
    ("installed", "what"),
    [
        (machine(), "no service of this machine has the role web"),
        (
            machine("nginx.service", "apache2.service", enabled=("nginx.service", "apache2.service")),
            "several services of this machine can have the role web: nginx, apache",
        ),
    ],
)
def test_a_role_without_a_sole_service_is_blocked_with_its_alternatives(installed: Installed, what: str) -> None:
    result = compiled("services: {web: {state: running}}", installed)

    assert blocked(result) == [("NoProvider", what)]
    assert "`provider: nginx` or `provider: apache`" in result.problems[0].hint


def test_two_services_with_one_unit_are_one_alternative() -> None:
    result = compiled("services: {database: {}}", machine("mariadb.service"))

    assert (blocked(result), provider(result, "database")) == ([], "mariadb")


def test_a_service_of_its_own_with_the_name_of_a_role_has_nothing_to_do_with_it() -> None:
    own = "services: {web: {command: /bin/true, files: {a.conf: {content: x}}}}"
    result = compiled(own, machine("nginx.service", enabled=("nginx.service",)))

    assert provider(result, "web") is None
    assert "/etc/web/a.conf" in [artifact.path for artifact in result.artifacts]


def test_files_and_keys_of_a_role_are_those_of_its_service() -> None:
    body = "services: {web: {limits: {memory: 1G}, files: {a.conf: {content: x}}}}"
    result = compiled(body, machine("apache2.service"))

    assert sorted(a.path for a in result.artifacts) == [
        "/etc/apache2/conf-enabled/a.conf",
        "normal/apache2.service.d/00-ordain.conf",
    ]


def test_a_file_for_a_service_that_reads_no_directory_is_blocked() -> None:
    body = "services: {time-sync: {files: {a.conf: {content: x}}}}"

    assert [w for _, w in blocked(compiled(body, system="rocky-9"))] == [
        "no Transform names a directory in which chrony would read a.conf on this system"
    ]
    assert blocked(compiled(body.replace("a.conf", "/etc/chrony.d/a.conf"), system="rocky-9")) == []


def test_after_a_role_means_its_service_and_after_a_milestone_the_milestone() -> None:
    body = "services: {own: {command: /bin/true, after: [database, time-sync]}, time-sync: {state: running}}"
    result = compiled(body, machine("postgresql.service", "chrony.service"))

    (text,) = (a.content for a in result.artifacts if isinstance(a, UnitFile) and a.path.endswith("/own.service"))
    assert "postgresql.service" in text
    assert "time-sync.target" in text
    assert "chrony" not in text


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (
            "a: {command: /bin/a, provider: chrony}",
            "`provider` chooses the service of a role, and this entry has its own in `command`",
        ),
        (
            "time-sync: {unit: a.service, provider: chrony}",
            "`provider` chooses the service of a role, and this entry has its own in `unit`",
        ),
        ("ssh: {provider: chrony}", "ssh is not a role, so that chrony cannot have it"),
        ("time-sync: {provider: chronie}", "chronie is not a service of this system that can have the role time-sync"),
    ],
)
def test_a_provider_that_cannot_be_is_blocked(entry: str, what: str) -> None:
    assert [text for _, text in blocked(compiled(f"services: {{{entry}}}"))] == [what]


def test_the_package_of_a_role_is_that_of_its_service() -> None:
    assert [p.name for p in compiled("packages: [time-sync]").packages.wanted] == ["systemd-timesyncd"]
    assert [code for code, _ in blocked(compiled("packages: [web]"))] == ["NoProvider"]


def test_the_choice_does_not_depend_on_the_order_of_units_and_links() -> None:
    units = ["chrony.service", "ntpsec.service", "systemd-timesyncd.service", "nginx.service", "rsyslog.service"]
    results = set()
    for seed in range(20):
        random.Random(seed).shuffle(units)
        installed = machine(*units, enabled=tuple(unit for unit in units if unit.startswith(("chrony", "nginx"))))
        result = compiled("services: {time-sync: {}, web: {}, syslog: {}}", installed)
        results.add(tuple(provider(result, role) for role in ("time-sync", "web", "syslog")))

    assert results == {("chrony", "nginx", "rsyslog")}


@pytest.mark.parametrize("system", sorted(known_systems()))
def test_the_usual_service_of_a_role_is_known_on_the_system(system: str) -> None:
    names, problems = names_for(shipped(), facts_for(system), SHARED)

    assert problems == ()
    for role, row in names.tree.branch("roles").branches():
        default = str(row.value("default", ""))
        assert not default or names.service(default, "unit"), (role, default)
        assert isinstance(services := row.value("services"), tuple)
        assert default in ("", *services), role


def test_every_alternative_is_a_service_of_some_system() -> None:
    systems = ("debian-12", "rhel-9", "flatcar", "opensuse-leap-15.6", "arch")
    known = {system: names_for(shipped(), facts_for(system), SHARED)[0] for system in systems}
    (base,) = (document for document in shipped() if document.name == "roles")
    listed = {name for _, row in base.sections.branch("roles").branches() for name in strings(row.value("services"))}
    assert {name for name in listed if not any(names.service(name, "unit") for names in known.values())} == set()


def test_the_documents_of_the_howto_page_are_rendered() -> None:
    """Run the blocks of docs/howto/services-of-systems.md: its documents, and the choice that it shows."""
    page = Path(__file__).parents[3] / "docs/howto/services-of-systems.md"
    layer, transform = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    body = layer.partition("name: base\n")[2]
    result = compiled(body, package="chrony")

    assert blocked(result) == []
    assert [m.unit for m in result.members] == ["chrony.service", "nftables.service", "rsyslog.service"]
    documents, problems = read("site.yaml", transform.encode())
    assert problems == ()
    names, problems = names_for((*shipped(), *documents), facts_for("debian-13"), SHARED)
    assert problems == ()
    assert names.packages("shop") == ("shop", "shop-plugins")
    assert names.tree.branch("roles").branch("web").value("default") == "shop-web"
