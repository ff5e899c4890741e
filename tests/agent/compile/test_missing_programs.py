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


def reported(root: Path, sections: object, *, live: bool = True, code: str = "ProgramMissing") -> list[str]:
    """Return the warnings about programs, or those with another code."""
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "a", **dict(sections)}).encode()  # type: ignore[call-overload]
    _, problems = compile_generation([("/a.json", text)], replace(read_machine(root), live=live), Generation())
    found = [problem for problem in problems if problem.code == code]
    assert {problem.severity for problem in found} <= {Severity.WARNING}
    return [str(problem) for problem in found]


def test_a_missing_program_is_reported_with_its_place(tmp_path: Path) -> None:
    (warning,) = reported(tmp_path, GONE)
    assert warning.startswith("/a.json:1:")
    assert "services/web: program not found: /opt/web" in warning


def test_a_missing_program_without_a_path_is_reported_with_a_similar_name(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3").touch()

    (warning,) = reported(tmp_path, {"services": {"web": {"command": "pyhton3 -m http.server"}}})

    assert "program not found: pyhton3 (did you mean python3? Else install it first" in warning


@pytest.mark.parametrize("service", [{"command": "/opt/web"}, {"command": "/bin/a", "health": {"command": "/opt/web"}}])
@pytest.mark.parametrize(
    ("mode", "fault"), [(0o755, ""), (0o644, "it is not executable (mode 0644)"), (None, "it is a directory")]
)
def test_a_program_that_cannot_be_run_is_reported(
    tmp_path: Path, service: dict[str, object], mode: int | None, fault: str
) -> None:
    for name in ("opt", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin/a").touch(0o755)
    (tmp_path / "opt/web").mkdir() if mode is None else (tmp_path / "opt/web").touch(mode)

    found = reported(tmp_path, {"services": {"web": service}})

    assert [f"services/web: /opt/web cannot be run: {fault}" in warning for warning in found] == [True] * bool(fault)


def test_a_program_of_a_check_is_one_of_the_service(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system/ssh.service").write_text("[Service]\nExecStart=/bin/true\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("ID=debian\nVERSION_ID=13\n")

    (found,) = reported(tmp_path, {"services": {"ssh": {"check": "/opt/check -t"}}})

    assert "services/ssh: program not found: /opt/check" in found


def environment(*paths: str) -> dict[str, object]:
    return {"services": {"web": {"command": "/opt/web", "environment-files": list(paths)}}}


def test_a_missing_environment_file_is_reported_with_its_place(tmp_path: Path) -> None:
    (warning,) = reported(tmp_path, environment("/etc/default/web"), code="EnvironmentMissing")

    assert warning.startswith("/a.json:1:")
    assert "services/web: environment file not found: /etc/default/web (make it first, or write -" in warning


@pytest.mark.parametrize(
    "sections",
    [
        environment("-/etc/default/web"),
        environment("/run/web/env"),
        environment("/etc/exists"),
        {**environment("/etc/default/web"), "files": {"/etc/default/web": {"content": "A=b\n"}}},
        {**environment("/srv/web/env"), "mounts": {"/srv/web": {"what": "/dev/sdb"}}},
    ],
)
def test_an_environment_file_that_may_be_there_is_not(tmp_path: Path, sections: object) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/exists").touch()

    assert reported(tmp_path, sections, code="EnvironmentMissing") == []


def test_an_existing_program_is_not_reported(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/web").touch(0o755)
    assert reported(tmp_path, GONE) == []


@pytest.mark.parametrize(
    "more",
    [
        {"files": {"/opt/web": {"content": "#!/bin/sh\n", "mode": "0755"}}},
        {"mounts": {"/opt": {"what": "/dev/sdb"}}},
        {"services": {"web": {"command": "/opt/web serve", "systemd": {"Service": {"RootDirectory": "/srv/root"}}}}},
        {"services": {"web": {"command": "/bin/sh", "systemd": {"Service": {"ExecStart": "-/opt/web"}}}}},
        {"services": {"web": {"command": "sh serve"}}},
        {"services": {"web": {"command": "web serve", "systemd": {"Service": {"ExecSearchPath": "/opt/bin"}}}}},
        {"services": {"web": {"command": "/opt/web serve", "state": "masked"}}},
    ],
    ids=[
        "placed by the documents",
        "below a mount",
        "in another root",
        "its failure does not count",
        "found by its name",
        "looked for elsewhere",
        "the service is masked",
    ],
)
def test_a_program_that_the_agent_cannot_expect_is_not_reported(tmp_path: Path, more: dict[str, object]) -> None:
    for program in ("bin/sh", "usr/lib/systemd/libsystemd-shared-257.so"):
        (tmp_path / program).parent.mkdir(parents=True)
        (tmp_path / program).touch(0o755)
    assert reported(tmp_path, {**GONE, **more}) == []


def test_images_and_first_boots_report_no_programs(tmp_path: Path) -> None:
    assert reported(tmp_path, GONE, live=False) == []
