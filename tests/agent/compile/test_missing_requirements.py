"""A required unit that does not exist is reported before the apply tries to start the one that requires it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.compile.compile_cache import read_machine
from ordain.agent.compile.compiler import compile_generation
from ordain.agent.model import Generation
from ordain.transforms.errors import Severity

NOTHING = Generation()
COMMAND = {"command": "/bin/true"}
REQUIRES = {"a": {**COMMAND, "requires": ["b.service"]}}


def document(**sections: Any) -> list[tuple[str, bytes]]:
    return [("/a.json", json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", **sections}).encode())]


def compiled(root: Path, **sections: Any) -> Generation:
    return compile_generation(document(**sections), read_machine(root), NOTHING)[0]


def reported(root: Path, last: Generation = NOTHING, *, live: bool = True, **sections: Any) -> list[str]:
    """Return the warnings about required units."""
    _, problems = compile_generation(document(**sections), replace(read_machine(root), live=live), last)
    found = [problem for problem in problems if problem.code == "NoSuchUnit"]
    assert {problem.severity for problem in found} <= {Severity.WARNING}
    return [str(problem) for problem in found]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a machine with the unit directory of a distribution."""
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/libsystemd-shared-257.so").touch()
    return tmp_path


def add(root: Path, path: str, text: str = "[Service]\nExecStart=/bin/true\n") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_required_unit_that_does_not_exist_is_reported_with_its_place(root: Path) -> None:
    (warning,) = reported(root, services=REQUIRES)

    assert warning.startswith("/a.json:1:")
    assert "services/a: requires b.service, which does not exist on this machine (install or unmask it first" in warning


def test_a_unit_for_failures_that_does_not_exist_is_reported_too(root: Path) -> None:
    (warning,) = reported(root, services={"a": {**COMMAND, "on-failure": ["mail.service"]}})

    assert "services/a: names in OnFailure= or OnSuccess= mail.service, which does not exist" in warning
    assert "PID 1 would only write to the journal" in warning


@pytest.mark.parametrize("key", ["Requires", "BindsTo", "Requisite"])
def test_a_unit_in_the_words_of_systemd_is_reported_as_well(root: Path, key: str) -> None:
    unit = {"Unit": {key: "b.service dev-sdx.device srv.mount %i.service"}, "Service": {"ExecStart": "/bin/true"}}

    (warning,) = reported(root, units={"u.service": unit})

    assert "units/u.service: requires b.service, which does not exist" in warning


@pytest.mark.parametrize(
    "path",
    [
        "usr/lib/systemd/system/b.service",
        "etc/systemd/system/b.service",
        "run/systemd/transient/b.service",
        "run/systemd/generator.late/b.service",
    ],
)
def test_a_unit_of_the_machine_is_not_reported(root: Path, path: str) -> None:
    add(root, path)
    assert reported(root, services=REQUIRES) == []


@pytest.mark.parametrize(
    "more",
    [
        {"services": {**REQUIRES, "b": COMMAND}},
        {"services": {"a": {**COMMAND, "requires": ["b"]}, "b": COMMAND}},
        {"services": REQUIRES, "units": {"b.service": {"Service": {"ExecStart": "/bin/true"}}}},
        {"services": {"a": {**COMMAND, "wants": ["b.service"], "after": ["b.service"]}}},
        {"services": {"a": {**COMMAND, "requires": ["c@1.service"]}}},
    ],
    ids=["a service", "its name in the documents", "a unit", "only wanted", "an instance"],
)
def test_a_unit_of_the_documents_or_of_a_template_is_not_reported(root: Path, more: dict[str, Any]) -> None:
    add(root, "usr/lib/systemd/system/c@.service")
    assert reported(root, **more) == []


def test_a_unit_that_only_the_generation_in_force_has_is_reported(root: Path) -> None:
    """It lies in the directory of generators until the next reload."""
    last = compiled(root, services={**REQUIRES, "b": COMMAND})
    add(root, "run/systemd/generator/b.service")

    assert len(reported(root, last, services=REQUIRES)) == 1
    assert reported(root, last, services={**REQUIRES, "b": COMMAND}) == []


def test_a_unit_that_an_administrator_has_masked_is_reported(root: Path) -> None:
    add(root, "usr/lib/systemd/system/b.service")
    assert reported(root, services=REQUIRES) == []

    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "etc/systemd/system/b.service").symlink_to("/dev/null")
    (warning,) = reported(root, services=REQUIRES)

    assert "requires b.service, which is masked" in warning


def test_nothing_is_reported_where_the_units_of_the_machine_are_not_known(root: Path, tmp_path: Path) -> None:
    assert reported(root, live=False, services=REQUIRES) == []
    (tmp_path / "usr/lib/systemd/system").rmdir()
    assert reported(root, services=REQUIRES) == []
