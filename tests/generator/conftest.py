"""The shells that initrds have."""

from __future__ import annotations

import shutil

import pytest

SHELLS = [["sh"], ["bash", "--posix"], ["busybox", "sh"]]


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Return each installed shell in turn."""
    command: list[str] = request.param
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    return command
