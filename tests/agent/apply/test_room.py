"""An apply that could not keep the previous state of a file is refused before anything is done."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from ordain.agent.apply.room import NoRoom, require_room


def _mount(monkeypatch: pytest.MonkeyPatch, *, flags: int = 0, free: int = 1 << 30) -> list[str]:
    asked: list[str] = []

    def statvfs(path: Path) -> SimpleNamespace:
        asked.append(str(path))
        return SimpleNamespace(f_flag=flags, f_bfree=free, f_frsize=1)

    monkeypatch.setattr(os, "statvfs", statvfs)
    return asked


def test_a_file_system_with_room_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _mount(monkeypatch)
    (tmp_path / "var").mkdir()

    require_room(tmp_path, ["/etc/motd"])

    assert asked == [str(tmp_path / "var")]


def test_a_read_only_file_system_is_told_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _mount(monkeypatch, flags=os.ST_RDONLY)

    with pytest.raises(NoRoom) as failure:
        require_room(tmp_path, ["/etc/motd", "/etc/issue"])

    assert str(failure.value) == (
        "nothing was changed: the previous state of /etc/motd cannot be kept in /var/lib/ordain (and of 1 more): "
        "Read-only file system; make the file system writable"
    )


def test_the_content_of_the_files_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _mount(monkeypatch, free=100_000)
    (tmp_path / "large").write_bytes(bytes(90_000))

    require_room(tmp_path, ["/other"])
    with pytest.raises(NoRoom, match="No space left on device; free some space"):
        require_room(tmp_path, ["/other", "/large"])


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to a user")
def test_no_user_delays_an_apply_with_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _mount(monkeypatch, free=100_000)
    for name, size, owner in (("of-a-user", 1 << 20, 2001), ("sparse", 8 << 40, 0)):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size)
        os.chown(tmp_path / name, owner, owner)

    require_room(tmp_path, ["/of-a-user", "/sparse"])


def test_files_of_this_boot_need_no_room_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _mount(monkeypatch, flags=os.ST_RDONLY) == []

    require_room(tmp_path, ["/run/sysctl.d/99-q-ordain.conf"])
