"""Kernel parameters and groups that cannot be as the documents say are refused before anything is done."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read


def problems(sections: str) -> list[tuple[str, str, str]]:
    """Return pointer, code and text of each problem of a layer."""
    documents, wrong = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{sections}\n".encode())
    assert wrong == ()
    found = compile(documents, facts_for("debian-13"), shipped=shipped()).problems
    return [(problem.where.pointer, problem.code, problem.what) for problem in found]


def test_two_spellings_of_a_kernel_parameter_must_have_one_value() -> None:
    assert problems("sysctl: {net.ipv4.ip_forward: 1, net/ipv4/ip_forward: 1}") == []
    ((_, code, what),) = problems("sysctl: {net.ipv4.ip_forward: 0, net/ipv4/ip_forward: 1}")
    assert (code, what) == (
        "Clash",
        "net.ipv4.ip_forward and net/ipv4/ip_forward are one kernel parameter, and have two values",
    )


@pytest.mark.parametrize(("group", "gid"), [("root", 7), ("root", 0), ("web", 0)])
def test_number_0_is_that_of_the_group_root_alone(group: str, gid: int) -> None:
    assert [code for _, code, _ in problems(f"groups: {{{group}: {{gid: {gid}}}}}")] == ["Vital"]
    assert problems("groups: {web: {gid: 77}, root: {}}") == []
