"""`support/runner/side_by_side.py`: each of the two commands can fail, and the output of both is seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "support/runner/side_by_side.py"


@pytest.mark.parametrize(("first", "second", "status"), [(0, 0, 0), (3, 0, 3), (0, 4, 4), (3, 4, 3)])
def test_a_failure_of_either_command_is_a_failure(first: int, second: int, status: int) -> None:
    commands = [["sh", "-c", f"echo types; exit {first}"], ["sh", "-c", f"echo tests; exit {second}"]]

    done = subprocess.run(
        [sys.executable, PROGRAM, *commands[0], "--", *commands[1]], capture_output=True, text=True, check=False
    )

    assert done.returncode == status
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("tests", "types"), "the output of the first one comes last"
