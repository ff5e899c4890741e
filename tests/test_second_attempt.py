"""A failure that does not repeat is named and does not count; one that repeats counts, and so do many at once."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "support" / "runner" / "second_attempt.py"
STABLE = "def test_well():\n    pass\n"
ONCE = """
import pytest
from pathlib import Path

@pytest.mark.xdist_group("machine")
@pytest.mark.parametrize("unit", ["getty@tty1"])
def test_once(unit):
    seen = Path("seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError("too slow")
"""
ALWAYS = "def test_always():\n    raise AssertionError('a defect')\n"
MANY = """
import pytest

@pytest.mark.parametrize("number", range(9))
def test_many(number):
    raise AssertionError("a cause in common")
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("texts", "status", "words"),
    [
        pytest.param([STABLE], 0, [], id="passes at once"),
        pytest.param(
            [STABLE, ONCE], 0, ["second attempt of 1", "UNSTABLE", "test_1.py::test_once[getty@tty1]"], id="fails once"
        ),
        pytest.param([ONCE, ALWAYS], 1, ["second attempt of 2", "test_1.py::test_always"], id="fails twice"),
        pytest.param([MANY], 1, ["9 failed"], id="many at once"),
    ],
)
def test_only_a_failure_that_repeats_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], status: int, words: list[str]
) -> None:
    monkeypatch.setenv("TOX_ENV_DIR", str(tmp_path / "environment"))
    for number, text in enumerate(texts):
        (tmp_path / f"test_{number}.py").write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")

    run = subprocess.run(
        [sys.executable, str(PROGRAM), "-q", "-n", "2", "--dist", "loadgroup"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == status, run.stdout + run.stderr
    for word in words:
        assert word in run.stdout
    assert ("UNSTABLE" in run.stdout) == ("UNSTABLE" in words)
    assert ("second attempt" in run.stdout) == any("second attempt" in word for word in words)
