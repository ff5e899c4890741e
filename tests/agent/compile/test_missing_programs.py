"""A program that is not there is told of before its service is started in vain."""

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


def told(root: Path, sections: object, *, live: bool = True) -> list[str]:
    """What is said of programs."""
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", **dict(sections)}).encode()  # type: ignore[call-overload]
    _, problems = compile_generation([("/a.json", text)], replace(read_machine(root), live=live), Generation())
    found = [problem for problem in problems if problem.code == "ProgramMissing"]
    assert {problem.severity for problem in found} <= {Severity.WARNING}
    return [str(problem) for problem in found]


def test_one_that_is_not_there_is_named_with_its_place(tmp_path: Path) -> None:
    (said,) = told(tmp_path, GONE)
    assert said.startswith("/a.json:1:")
    assert "services/web: /opt/web is not there" in said


def test_one_that_is_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/web").touch()
    assert told(tmp_path, GONE) == []


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
    ids=["of the documents", "below a mount", "in another root", "of no account", "by name", "masked"],
)
def test_one_that_will_be_or_need_not_be_is_not(tmp_path: Path, more: dict[str, object]) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").touch()
    assert told(tmp_path, {**GONE, **more}) == []


def test_an_image_or_a_first_boot_cannot_know(tmp_path: Path) -> None:
    assert told(tmp_path, GONE, live=False) == []
