"""A condition that no machine fulfils is a warning with the right word; free names are left alone."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.impossible_matches import impossible_conditions
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.compile import compile
from ordain.transforms.document.formats.conditions import ARCHITECTURES
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Severity
from ordain.transforms.machine import facts
from ordain.transforms.model import Document

NODES = """\
---
ordain: v1
kind: Node
name: web1
labels: {role: [web, cache], site: berlin}
"""


def documents(match: str, nodes: str = NODES) -> tuple[Document, ...]:
    found, problems = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\nmatch: {match}\n{nodes}".encode())
    assert not problems
    return tuple(found)


@pytest.mark.parametrize(
    ("match", "hint"),
    [
        ("{os: debain}", "did you mean debian?"),
        ("{os: [fedora, ubunto]}", "did you mean ubuntu?"),
        ("{os: {not: debain}}", "did you mean debian?"),
        ("{id: Debian}", "write id: debian"),
        ("{os: debian-12}", 'write os: debian, version: "12"'),
        ("{os: RHEL-9}", 'write os: rhel, version: "9"'),
        ("{arch: x86_64}", "write arch: x86-64"),
        ("{arch: aarch64}", "write arch: arm64"),
        ("{arch: riscv46}", "did you mean riscv64"),
        ("{root: nvme}", "known: disk, ram"),
        ("{rolle: web}", "did you mean role?"),
        ("{hostnme: web}", "did you mean hostname?"),
        ("{site: berln}", "did you mean berlin?"),
        ("{virtualization: vmware-esx}", "did you mean vmware?"),
        ("{virtualization: virtualbox}", "write virtualization: oracle"),
        ("{virtualization: vm}", "systemd-detect-virt --list"),
        ("{machine-id: abc}", "32 digits"),
        ('{systemd: ">=252 <250"}', "write a list"),
        ('{version: {not: ">12 <12.5"}}', "write a list"),
        ('{hostname: "web 1"}', "letters, digits"),
        ("{mac: 52-54-00-12-34}", "all six bytes"),
        ("{os: debian, id: fedora}", "remove one of the two"),
        ("{memory: 64GB}", "write memory: '>=64G', or set a label memory"),
        ("{cpus: 4K}", "write cpus: '>=8', or set a label cpus"),
        ("{cpu-socket: 2}", "did you mean cpu-sockets?"),
    ],
)
def test_a_value_that_no_machine_has_is_a_warning(match: str, hint: str) -> None:
    (problem,) = impossible_conditions(documents(match))

    assert hint in problem.hint
    assert (problem.code, problem.severity) == ("NeverMatches", Severity.WARNING)
    assert (problem.where.path, problem.where.line) == ("a.yaml", 4)
    assert problem in compile(documents(match), facts_for("debian-13")).problems


@pytest.mark.parametrize(
    "match",
    [
        "{os: [debian, suse, archarm, ubuntu-core, nixos]}",
        "{arch: arm64, root: ram}",
        "{role: database, rack: r7, site: null}",
        "{virtualization: kvm, hostname: 'web*', version: '>=12'}",
        "{hostname: ['web[0-9].example', '!x', null], machine-id: 0A3A5B1C-0000-1111-2222-333344445555}",
        "{mac: [52-54-00-12-34-56, '52:54:00:12:34:AB'], virtualization: [none, systemd-nspawn]}",
        "{os: debian, id: [ubuntu, fedora], systemd: ['>=252 <253', 250]}",
        "{os: {not: debian}, id: debian, version: '>9.4 <10'}",
        "{os: debian, id: unheard-of}",
    ],
)
def test_a_value_that_a_machine_may_have_is_accepted(match: str) -> None:
    assert not list(impossible_conditions(documents(match)))


def test_a_label_is_free_where_no_node_sets_any() -> None:
    assert not list(impossible_conditions(documents("{role: wbe}", nodes="")))


def test_every_architecture_that_a_machine_can_report_may_be_matched() -> None:
    assert {name for names in facts.ARCHITECTURES.values() for name in names} <= ARCHITECTURES


def test_documents_of_which_none_matches_are_a_warning_with_the_reasons() -> None:
    machine = facts_for("debian-13")

    (problem,) = compile(documents("{os: fedora}", nodes=""), machine).problems
    assert problem.code == "NothingMatches"
    assert "a (os: expected fedora, but this machine is debian)" in problem.what
    assert not compile(documents("{os: debian}", nodes=""), machine).problems
    assert not compile((), machine).problems
