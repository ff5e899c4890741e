"""A file of ours that cannot be written: the error names the file, and nothing is left beside it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ordain.agent.system import atomic_files


def test_an_error_of_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "journal"
    path.write_text("old")
    monkeypatch.setattr(os, "write", full)

    with pytest.raises(OSError, match="No space left") as failure:
        atomic_files.replace(path, b"new")

    assert failure.value.filename == str(path)
    assert atomic_files.describe_error(failure.value, Path("/other")) == f"{path}: No space left on device"
    assert [file.name for file in tmp_path.iterdir()] == ["journal"]
    assert path.read_text() == "old"


def test_an_error_of_a_read_only_overlay_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", read_only)

    with pytest.raises(OSError, match="Read-only") as failure:
        atomic_files.replace(tmp_path / "current", b"new")

    assert failure.value.filename == str(tmp_path / "current")
