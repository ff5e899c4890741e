"""The start of a phase of files: it loads what places them only if there are files, or traces of earlier ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ordain.generator import files
from ordain.generator.cache import Cache, pack
from ordain.generator.files_program import main
from ordain.generator.phases import RECORDS, REPORTS, SYSCTL_RECORD
from ordain.transforms.artifacts import RegularFile

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files get owners")

UNITS = [("normal/a.target", 0o644, b"[Unit]\n", None)]
PROGRAM = (
    "import sys; from ordain.generator.files_program import main; status = main(sys.argv); "
    "print('ordain.generator.files' in sys.modules); sys.exit(status)"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/ordain/boot", "run/ordain", "proc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    return tmp_path


def commit(root: Path, *wanted: RegularFile) -> None:
    cache = root / "etc/ordain/boot/current"
    cache.write_bytes(pack(Cache(hash="c0ffee", entries=list(UNITS), files=files.write(wanted))))
    cache.chmod(0o644)


def loads_files(root: Path, phase: str) -> bool:
    """Return whether a run of the phase loads the modules that place files; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, phase, str(root)], capture_output=True, text=True, check=True, cwd="/"
    )
    return done.stdout.strip() == "True"


@pytest.mark.parametrize("phase", ["early", "main", "remote"])
def test_a_phase_of_a_generation_without_files_ends_at_once(root: Path, phase: str) -> None:
    commit(root)
    before = sorted(root.rglob("*"))

    assert not loads_files(root, phase)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("phase", "trace"),
    [("main", f"{RECORDS['main']}/placed.json"), ("main", REPORTS["main"]), ("early", SYSCTL_RECORD)],
)
def test_a_phase_runs_in_full_after_a_trace_of_an_earlier_run(root: Path, phase: str, trace: str) -> None:
    commit(root)
    (root / trace).parent.mkdir(parents=True, exist_ok=True)
    (root / trace).write_text("{}")

    assert loads_files(root, phase)


def test_a_file_is_placed_and_later_removed_by_the_phase(root: Path) -> None:
    commit(root, RegularFile(path="/etc/motd", content="hello\n"))
    assert main(["ordain-files", "main", str(root)]) == 0
    assert (root / "etc/motd").read_text() == "hello\n"

    commit(root)
    assert main(["ordain-files", "main", str(root)]) == 0
    assert not (root / "etc/motd").exists()
    assert json.loads((root / REPORTS["main"]).read_text())["hash"] == "c0ffee"


def test_a_problem_is_no_longer_reported_once_no_document_has_the_file(root: Path) -> None:
    (root / "etc/motd").mkdir()
    commit(root, RegularFile(path="/etc/motd", content="hello\n"))
    assert main(["ordain-files", "main", str(root)]) == 1

    commit(root)
    assert main(["ordain-files", "main", str(root)]) == 0
    assert json.loads((root / REPORTS["main"]).read_text())["problems"] == {}
