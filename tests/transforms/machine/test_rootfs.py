"""The users who could write, or replace, a file that decides for root."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ordain.agent.delivery.release.trusted_keys import trusted_keys
from ordain.agent.settings import Trust, read_settings
from ordain.generator import safe_tree
from ordain.transforms.catalog.local_transforms import local_transforms
from ordain.transforms.machine.rootfs import UnsafeFile, first_bytes, other_writer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes the owners of files")
NOBODY = 65534
USER, USER_OF_FILE, GROUP_OF_FILE, GROUP, MASK, OTHERS = 0x02, 0x01, 0x04, 0x08, 0x10, 0x20
READ, WRITE = 4, 6


def set_acl(path: Path, *more: tuple[int, int, int]) -> None:
    entries = [(USER_OF_FILE, WRITE, 0), (GROUP_OF_FILE, READ, 0), (MASK, WRITE, 0), (OTHERS, READ, 0), *more]
    packed = b"".join(struct.pack("<HHI", tag, bits, number) for tag, bits, number in sorted(entries))
    try:
        os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError as error:
        pytest.skip(f"this file system has no access control lists: {error}")


def by_an_acl(path: Path) -> Path:
    set_acl(path, (USER, WRITE, 1000))
    return path


def by_an_acl_of_a_group(path: Path) -> Path:
    set_acl(path, (GROUP, WRITE, 1000))
    return path


def by_the_group(path: Path) -> Path:
    os.chown(path, 0, NOBODY)
    path.chmod(0o664)
    return path


def by_the_mode(path: Path) -> Path:
    path.chmod(0o646)
    return path


def by_the_owner_of_a_directory_above(path: Path) -> Path:
    os.chown(path.parents[1], NOBODY, 0)
    return path.parents[1]


def by_a_directory_above_for_all(path: Path) -> Path:
    path.parents[1].chmod(0o777)
    return path.parents[1]


def by_the_directory_of_the_target_of_a_link(path: Path) -> Path:
    folder = path.parents[2] / "home"
    folder.mkdir()
    path.rename(folder / path.name)
    path.symlink_to(os.path.relpath(folder / path.name, path.parent))
    os.chown(folder, NOBODY, 0)
    return folder


def by_a_directory_with_a_link_on_the_way(path: Path) -> Path:
    folder = path.parents[2] / "shared"
    folder.mkdir()
    path.parent.rename(path.parent.with_name("real"))
    (folder / "on").symlink_to(os.path.relpath(path.parent.with_name("real"), folder))
    path.parent.symlink_to(os.path.relpath(folder / "on", path.parents[1]))
    folder.chmod(0o777)
    return folder


WAYS: tuple[Callable[[Path], Path], ...] = (
    *(by_an_acl, by_an_acl_of_a_group, by_the_group, by_the_mode),
    *(by_the_owner_of_a_directory_above, by_a_directory_above_for_all),
    *(by_the_directory_of_the_target_of_a_link, by_a_directory_with_a_link_on_the_way),
)


def put(root: Path, path: str, text: str) -> Path:
    file = root / "top" / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_write_or_replace_a_file_is_noticed(tmp_path: Path, way: Callable[[Path], Path]) -> None:
    path = put(tmp_path, "a/b/file", "")
    assert other_writer(path) is None

    place = way(path)

    found = other_writer(path)
    assert found is not None
    assert found.place == str(place)
    assert str(place) in found.remedy
    assert ("setfacl" in found.remedy) == ("acl" in way.__name__)


def test_a_group_of_root_and_a_directory_like_tmp_are_safe(tmp_path: Path) -> None:
    path = put(tmp_path, "a/b/file", "")
    path.chmod(0o664)  # the group is root
    set_acl(path, (USER, READ, 1000), (GROUP, WRITE, 0))
    path.parents[1].chmod(0o1777)  # as /tmp

    assert other_writer(path) is None
    assert other_writer(tmp_path / "missing") is None


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_decides_is_used_if_others_could_have_written_it(
    tmp_path: Path, way: Callable[[Path], Path]
) -> None:
    key = f"ed25519 {'A' * 43}= ops\n"
    settings = put(tmp_path / "settings", "etc/ordain/agent.yaml", "trust: open\n")
    trusted = put(tmp_path / "keys", "etc/ordain/trust/a.pub", key)
    transform = put(tmp_path / "transforms", "etc/ordain/transforms/a.yaml", "ordain: v1\nkind: Transform\nname: a\n")
    roots = [path / "top" for path in (tmp_path / "settings", tmp_path / "keys", tmp_path / "transforms")]
    assert read_settings(roots[0])[0].trust is Trust.OPEN
    assert [key.name for key in trusted_keys(roots[1])[0]] == ["ops"]
    assert len(local_transforms(roots[2])) == 1

    for path in (settings, trusted, transform):
        way(path)

    decided, problems = read_settings(roots[0])
    assert decided.trust is Trust.REQUIRED
    assert decided.source.location == ""
    assert "who could decide for root" in problems[0].what
    assert "chown root:root" in problems[0].hint
    keys, problems = trusted_keys(roots[1])
    assert (keys, problems[0].code) == ((), "BadKey")
    with pytest.raises(UnsafeFile, match="chown root:root"):
        local_transforms(roots[2])


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_a_directory_in_the_place_of_a_file_costs_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    before = open_descriptors()

    with pytest.raises(OSError, match="not a regular file"):
        first_bytes(tmp_path / "a", 10)
    monkeypatch.setattr(stat, "S_ISDIR", lambda mode: False)  # a user put it there after it was looked at
    monkeypatch.setattr(stat, "S_ISREG", lambda mode: True)
    with pytest.raises(OSError, match="Is a directory"):
        safe_tree.read_state(tmp_path, "/a")

    assert open_descriptors() == before
