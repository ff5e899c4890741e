"""A missing program is reported before the apply tries to start its service."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.compile.compile_cache import read_machine
from ordain.agent.compile.compiler import compile_generation
from ordain.agent.model import Generation
from ordain.transforms.errors import Severity

GONE = {"services": {"web": {"command": "/opt/web serve"}}}


def reported(root: Path, sections: object, *, live: bool = True) -> list[str]:
    """Return the warnings about programs."""
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", **dict(sections)}).encode()  # type: ignore[call-overload]
    _, problems = compile_generation([("/a.json", text)], replace(read_machine(root), live=live), Generation())
    found = [problem for problem in problems if problem.code == "ProgramMissing"]
    assert {problem.severity for problem in found} <= {Severity.WARNING}
    return [str(problem) for problem in found]


def test_a_missing_program_is_reported_with_its_place(tmp_path: Path) -> None:
    (warning,) = reported(tmp_path, GONE)
    assert warning.startswith("/a.json:1:")
    assert "services/web: program not found: /opt/web" in warning


def test_an_existing_program_is_not_reported(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/web").touch()
    assert reported(tmp_path, GONE) == []


@pytest.mark.parametrize(
    "more",
    [
        {"files": {"/opt/web": {"content": "#!/bin/sh\n", "mode": "0755"}}},
        {"mounts": {"/opt": {"what": "/dev/sdb"}}},
        {"services": {"web": {"command": "/opt/web serve", "systemd": {"Service": {"RootDirectory": "/srv/root"}}}}},
        {"services": {"web": {"command": "/bin/sh", "systemd": {"Service": {"ExecStart": "-/opt/web"}}}}},
        {"services": {"web": {"command": "web serve"}}},
        {"services": {"web": {"command": "/opt/web serve", "state": "masked"}}},
    ],
    ids=[
        "placed by the documents",
        "below a mount",
        "in another root",
        "its failure does not count",
        "found by PATH",
        "the service is masked",
    ],
)
def test_a_program_that_the_agent_cannot_expect_is_not_reported(tmp_path: Path, more: dict[str, object]) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").touch()
    assert reported(tmp_path, {**GONE, **more}) == []


def test_images_and_first_boots_report_no_programs(tmp_path: Path) -> None:
    assert reported(tmp_path, GONE, live=False) == []
