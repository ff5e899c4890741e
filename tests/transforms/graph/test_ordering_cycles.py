"""Ordering cycles are refused, except those with units that only start in an initrd."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.model import Installed, InstalledUnit

OURS = b"ordain: v1\nkind: Layer\nname: d\nservices: {front: {command: [/bin/true], listen: {stream: '80'}}}\n"
DISTRIBUTIONS = {
    "sysinit.target": {"After": "local-fs.target"},
    "local-fs.target": {"After": "systemd-fsck-root.service"},
    "basic.target": {"After": "sockets.target"},
}


def installed(**more: str) -> Installed:
    """Return a machine with a service that is ordered both after the basic system and before its first unit."""
    units = {
        **DISTRIBUTIONS,
        "between.service": {"After": "basic.target", "Before": "systemd-fsck-root.service", **more},
    }
    return Installed(
        units={
            name: InstalledUnit(
                name=name,
                path=f"/usr/lib/systemd/system/{name}",
                sections={"Unit": (("DefaultDependencies", "no"), *keys.items())},
            )
            for name, keys in units.items()
        }
    )


@pytest.mark.parametrize(
    ("more", "codes"),
    [
        ({}, ["Cycle"]),
        ({"AssertPathExists": "/etc/initrd-release"}, []),  # breakpoint-pre-mount.service of systemd 258
        ({"ConditionPathExists": "/etc/initrd-release"}, []),
        ({"ConditionPathExists": "!/etc/initrd-release"}, ["Cycle"]),
    ],
)
def test_units_of_initrds_are_not_part_of_a_cycle(more: dict[str, str], codes: list[str]) -> None:
    documents, problems = read("d.yaml", OURS)
    assert problems == ()

    result = compile(documents, facts_for("debian-13"), installed(**more), shipped=shipped())

    assert [problem.code for problem in result.problems] == codes


def test_the_problems_of_a_large_cycle_name_a_few_of_its_units() -> None:
    rows = "".join(f"  s{n}: {{command: [/bin/true], after: [s{(n + 1) % 300}]}}\n" for n in range(300))
    documents, _ = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\nservices:\n{rows}".encode())

    problems = compile(documents, facts_for("debian-12"), shipped=shipped()).problems

    assert [problem.code for problem in problems] == ["Cycle"] * 300
    assert {problem.what.partition("s19.service after ")[2] for problem in problems} == {
        "280 more units after s0.service"
    }
