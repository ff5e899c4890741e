"""Mounts that PID 1 refuses or cannot follow are blocked; values of options may hold commas as libmount reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ordain.transforms.artifacts import UnitFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read


def rendered(path: str, **mount: Any) -> tuple[str, list[str]]:
    """Return the text of the mount unit and the problems of a document with one mount."""
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "x", "mounts": {path: mount}})
    documents, problems = read("x.json", text.encode())
    assert problems == ()
    compiled = compile(documents, facts_for("debian-13"), None, shipped=shipped())
    units = [artifact.content for artifact in compiled.artifacts if isinstance(artifact, UnitFile)]
    return "".join(units), [f"{problem.what} [{problem.code}]" for problem in compiled.problems]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"context": '"u:r:t:s0:c12,c34"', "noexec": True}, 'Options=context="u:r:t:s0:c12,c34",noexec'),
        ({"opt": "a\\,b"}, "Options=opt=a\\,b"),
    ],
)
def test_a_comma_in_quotes_or_behind_a_backslash_belongs_to_the_value(options: dict[str, Any], line: str) -> None:
    unit, problems = rendered("/srv/a", what="/dev/sdb1", type="ext4", options=options)

    assert problems == []
    assert line in unit.splitlines()


@pytest.mark.parametrize("value", ["a,b", "a b", '"a,b', "a,"])
def test_a_bare_comma_or_blank_in_a_value_is_blocked(value: str) -> None:
    unit, (problem,) = rendered("/srv/a", what="/dev/sdb1", options={"x": value})

    assert "comma outside double quotes" in problem
    assert unit == ""


@pytest.mark.parametrize("length", range(240, 262))
@pytest.mark.parametrize("more", [{}, {"automount": True}, {"state": "masked"}])
def test_a_path_that_is_too_long_for_the_name_of_a_unit_is_blocked(length: int, more: dict[str, Any]) -> None:
    path = "/" + "a" * length
    suffix = ".automount" if "automount" in more else ".mount"
    problems = rendered(path, what="/dev/sdb1", **more)[1]
    swap = {
        "ordain": "v1",
        "kind": "Layer",
        "name": "x",
        "swaps": {path: {k: v for k, v in more.items() if k == "state"}},
    }
    documents, _ = read("x.json", json.dumps(swap).encode())
    compiled = compile(documents, facts_for("debian-13"), None, shipped=shipped())

    assert bool(problems) is (length + len(suffix) > 255)
    assert bool(compiled.problems) is (length + len(".swap") > 255)


@pytest.mark.parametrize("path", ["/dev/shm", "/dev/pts", "/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/bpf"])
def test_a_mount_point_of_systemd_itself_is_blocked(path: str) -> None:
    _, (problem,) = rendered(path, what="none", type="tmpfs")

    assert problem == f"systemd mounts {path} itself and refuses a unit for it [Vital]"


@pytest.mark.parametrize("path", ["/dev/shm2", "/sys/kernel/config", "/dev/hugepages"])
def test_other_mount_points_below_the_kernels_directories_are_taken(path: str) -> None:
    assert rendered(path, what="none", type="tmpfs")[1] == []


def test_an_nfs_mount_in_the_background_is_blocked_and_bg_of_another_kind_is_not() -> None:
    _, (problem,) = rendered("/srv/a", what="nas:/a", type="nfs", options={"bg": True})
    assert "in the background" in problem

    assert rendered("/srv/a", what="/dev/sdb1", type="odd", options={"bg": True})[1] == []
