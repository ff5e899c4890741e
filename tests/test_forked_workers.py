"""`support.runner.forked_workers`: each test runs once, and everything that fails is reported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

SUPPORT = Path(__file__).parent
CONFTEST = """
from support.runner.forked_workers import pytest_runtestloop

def pytest_addoption(parser):
    parser.addoption("--forks", type=int, default=0)
"""
TESTS = """
import os, signal, warnings
from pathlib import Path
import pytest

@pytest.fixture(scope="module")
def shared():
    Path("set-up").open("a").write("x")
    yield
    Path("torn-down").open("a").write("x")

@pytest.mark.parametrize("number", range(35))
def test_good(number, tmp_path, shared):
    Path("ran").open("a").write(f"{number}\\n")

def test_bad():
    print("what it printed")
    assert 1 + 1 == 3

def test_warns():
    warnings.warn("look out")

def test_dies():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SUPPORT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_each_test_runs_once_and_each_failure_is_reported(tmp_path: Path) -> None:
    (tmp_path / "test_tests.py").write_text(TESTS)

    done = run_pytest(tmp_path, "--forks=3")

    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert sorted((tmp_path / "ran").read_text().split(), key=int) == [str(number) for number in range(35)]
    assert 1 <= len((tmp_path / "torn-down").read_text()) <= 3
    assert "2 failed, 36 passed, 1 warning in" in done.stdout
    assert "assert (1 + 1) == 3" in done.stdout
    assert "what it printed" in done.stdout
    assert "look out" in done.stdout
    assert "the worker ended while it ran this test" in done.stdout
    assert "FAILED test_tests.py::test_dies" in done.stdout


def test_tests_that_no_worker_is_left_for_have_failed(tmp_path: Path) -> None:
    (tmp_path / "test_tests.py").write_text(
        "import os\ndef test_dies():\n    os._exit(0)\ndef test_good():\n    pass\n"
    )

    done = run_pytest(tmp_path, "--forks=1")

    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "no worker was left to run this test" in done.stdout
    assert "2 failed in" in done.stdout


def test_a_run_ends_at_the_first_failure_when_it_was_asked_to(tmp_path: Path) -> None:
    bad = "@pytest.mark.parametrize('number', range(99))\ndef test_bad(number):\n    time.sleep(0.1)\n    assert 0\n"
    (tmp_path / "test_tests.py").write_text(f"import time, pytest\n{bad}")

    done = run_pytest(tmp_path, "--forks=2", "-x")

    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed in" in done.stdout


def test_a_group_has_one_worker(tmp_path: Path) -> None:
    mark = "pytestmark = pytest.mark.xdist_group('all')\n"
    cases = "@pytest.mark.parametrize('number', range(35))\n"
    test = f"{cases}def test_good(number):\n    print(os.getpid(), file=open('who', 'a'))\n"
    (tmp_path / "test_tests.py").write_text(f"import os, pytest\n{mark}{test}")

    done = run_pytest(tmp_path, "--forks=3", "-W", "ignore")

    assert "35 passed in" in done.stdout
    assert len(set((tmp_path / "who").read_text().split())) == 1
