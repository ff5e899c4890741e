"""The section packages: names of the system, and wishes that its package manager cannot fulfil."""

from __future__ import annotations

import re

import pytest

from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.formats.pattern_syntax import parse
from ordain.transforms.document.reader import read
from ordain.transforms.model import Compiled
from ordain.transforms.package_set import WantedPackage

WITHOUT = {"flatcar", "gentoo"}


def compiled(system: str, text: str, *more: str) -> Compiled:
    head = "ordain: v1\nkind: Layer\nname: {}\n"
    layers = [f"{head.format(f'l{at}')}{layer}" for at, layer in enumerate((text, *more))]
    documents, problems = read("x.yaml", "---\n".join(f"{layer}\n" for layer in layers).encode())
    assert problems == ()
    return compile(documents, facts_for(system), shipped=shipped())


def problems(result: Compiled) -> list[tuple[str, str]]:
    return [(problem.item, problem.code) for problem in result.problems]


@pytest.mark.parametrize(
    "written", ["packages: htop", "packages: [htop]", "packages: {htop: {}}", "packages: {htop: present}"]
)
def test_a_name_a_list_and_a_map_mean_the_same(written: str) -> None:
    assert compiled("debian-13", written).packages.wanted == (WantedPackage(name="htop", item="packages/htop"),)


def test_layers_add_packages_and_null_removes_one() -> None:
    result = compiled("debian-13", "packages: [htop, nginx]", "weight: 10\npackages: {htop: null, vim: {}}")
    assert [package.name for package in result.packages.wanted] == ["nginx", "vim"]


@pytest.mark.parametrize(
    ("system", "manager", "name"),
    [
        ("debian-12", "apt", "bind9"),
        ("rocky-9", "dnf", "bind"),
        ("arch", "pacman", "bind"),
        ("sles-15", "zypper", "bind"),
    ],
)
def test_a_neutral_name_means_the_package_of_the_system(system: str, manager: str, name: str) -> None:
    packages = compiled(system, "packages: bind").packages
    assert (packages.manager.name, packages.wanted[0].name) == (manager, name)


@pytest.mark.parametrize("system", sorted(known_systems()))
def test_each_system_has_a_manager_whose_row_can_be_used(system: str) -> None:
    manager = compiled(system, "packages: htop").packages.manager
    if system in WITHOUT:
        assert manager.name == ""
        return
    for commands in (manager.query, manager.refresh, manager.preview_install, manager.install, manager.remove):
        assert commands
        assert all(words[0].lstrip("-").startswith("/") for words in commands)
        assert all(parse(word) is not None for words in commands for word in words)
    for pattern, groups in ((manager.installed, {"name", "version"}), (manager.changes, {"name", "version"})):
        assert groups <= re.compile(pattern).groupindex.keys()
    for pattern in (manager.held, manager.broken):
        assert not pattern or "name" in re.compile(pattern).groupindex


def test_two_entries_for_one_package_must_agree() -> None:
    text = "packages: {bind: {}, bind9: absent}"
    assert problems(compiled("debian-13", text)) == [("packages/bind", "Clash"), ("packages/bind9", "Clash")] or set(
        problems(compiled("debian-13", text))
    ) == {("packages/bind", "Clash"), ("packages/bind9", "Clash")}
    assert problems(compiled("debian-13", "packages: [bind, bind9]")) == []
    assert len(compiled("debian-13", "packages: [bind, bind9]").packages.wanted) == 1


@pytest.mark.parametrize("wish", ["version: 1.0", "hold: true"])
def test_a_wish_that_the_manager_cannot_fulfil_blocks_only_its_entry(wish: str) -> None:
    result = compiled("arch", f"packages: {{htop: {{{wish}}}, vim: {{}}}}")
    assert problems(result) == [("packages/htop", "Item")]
    assert [package.name for package in result.packages.wanted] == ["vim"]


@pytest.mark.parametrize(
    ("system", "name", "place"),
    [
        ("debian-13", "htop/unstable", "preferences.d"),
        ("debian-13", "Htop", "preferences.d"),
        ("rocky-9", "htop.x86_64", "without architecture"),
        ("rocky-9", "epel/htop", "without architecture"),
        ("opensuse-tumbleweed", "repo-oss/htop", "repository"),
        ("opensuse-tumbleweed", "htop.noarch", "repository"),
        ("arch", "extra/htop", "pacman.conf"),
    ],
)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_name_that_the_manager_takes_as_more_than_a_package_blocks_its_entry(
    system: str, name: str, place: str, state: str
) -> None:
    result = compiled(system, f"packages: {{{name}: {state}, vim: {{}}}}")
    (problem,) = result.problems
    assert (problem.item.split("/", 1)[0], problem.code) == ("packages", "PackageName")
    assert name in problem.what
    assert place in problem.hint
    assert [package.name for package in result.packages.wanted] == ["vim"]


@pytest.mark.parametrize(
    "name", ["'htop=3.2'", "'htop*'", "'htop^'", "'htop:i386'", "'@core'", "'-htop'", "'htop-'", "'a b'", "'pattern:x'"]
)
def test_no_system_has_a_package_of_such_a_name(name: str) -> None:
    text = f"ordain: v1\nkind: Layer\nname: a\npackages: {{{name}: {{}}}}\n"
    _, (problem,) = read("x.yaml", text.encode())
    assert "without a version" in problem.hint


@pytest.mark.parametrize(
    ("system", "names"),
    [
        ("debian-13", ["g++", "libstdc++6", "0ad", "python3.13"]),
        ("rocky-9", ["gcc-c++", "python3.11", "NetworkManager-libnm", "glibc-langpack-de", "java-21-openjdk"]),
        ("arch", ["libsigc++", "gtk4", "lib32-glibc", "r8168-lts", "jre21-openjdk"]),
    ],
)
def test_names_with_odd_signs_are_packages(system: str, names: list[str]) -> None:
    result = compiled(system, f"packages: {names}")
    assert [package.name for package in result.packages.wanted] == sorted(names)


@pytest.mark.parametrize("system", sorted(set(known_systems()) - WITHOUT))
def test_every_package_of_the_database_has_a_name_that_the_manager_takes(system: str) -> None:
    names = names_for(shipped(), facts_for(system), shared_versions(shipped()))[0]
    packages = [package for name in names.services() for package in names.packages(name)]
    taken = re.compile(str(names.package_manager()[1].value("names")))
    assert [package for package in packages if not taken.fullmatch(package)] == []


def test_a_system_without_a_manager_blocks_the_entry_and_nothing_else() -> None:
    result = compiled("flatcar", "packages: htop\nservices: {a: {command: /bin/a}}")
    assert problems(result) == [("packages/htop", "NoPackageManager")]
    assert [member.unit for member in result.members] == ["a.service"]


def test_the_name_of_another_system_is_a_warning_with_the_neutral_one() -> None:
    (problem,) = compiled("rocky-9", "packages: apache2").problems
    assert (problem.code, problem.severity) == ("ForeignName", "warning")
    assert "write apache" in problem.hint


@pytest.mark.parametrize("name", ["-x", "a b", "a=1", "a*", "foo-", ""])
def test_a_name_that_a_manager_would_take_as_something_else_is_an_error(name: str) -> None:
    text = f'ordain: v1\nkind: Layer\nname: a\npackages: ["{name}"]\n'
    assert read("x.yaml", text.encode())[1]


def test_a_service_that_waits_for_its_package_says_so() -> None:
    from ordain.transforms.model import Installed

    documents, _ = read(
        "x.yaml", b"ordain: v1\nkind: Layer\nname: a\npackages: nginx\nservices: {nginx: {state: running}}\n"
    )
    (problem,) = compile(documents, facts_for("debian-13"), Installed(units={}), shipped=shipped()).problems
    assert (problem.code, problem.hint) == (
        "NotInstalled",
        "the documents want the package nginx: it starts after the installation",
    )
